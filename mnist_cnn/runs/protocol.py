"""The protocol of a run in words and for its record: which images did what."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_helpers import is_overridden

from mnist_cnn.config.build import DataModule
from mnist_cnn.runs.record import Record

WORDS = {
    "once": "test images read once, after training",
    "never": "test images never read",
    "unlabelled": "test images have no labels: predicted once, after training",
    "none": "no test images",
}


def how_tested(data: DataModule, test: str) -> str:
    """What becomes of the test images: `once` or `never`, as `test` asks; else `unlabelled` or `none`, as they are."""
    return data.test_images if test == "once" and data.test_images != "labelled" else test


def readings(record: Record | None) -> list[int]:
    """The epochs after which a run has read the test images so far."""
    if record is None or record.protocol is None:
        return []
    if record.protocol.read_after is not None:
        return record.protocol.read_after
    if not (record.completed and record.epochs):
        return []
    tested = any(name.startswith("test/") and value is not None for name, value in record.results.model_dump().items())
    return [record.epochs] * tested


def protocol_of(
    cfg: DictConfig, data: DataModule, test: str, model: pl.LightningModule, read: Sequence[int] = (), now: int = 0
) -> dict[str, Any]:
    """The part `protocol` of the record.

    Args:
        cfg: of the run.
        test: what was asked for.
        model: one without a `validation_step` is not validated, whatever images there are.
        read: the epochs after which the test images were read before.
        now: that after which they have just been read, 0 before.
    """
    known, how = data.protocol(), how_tested(data, test)
    words = [WORDS[how]]
    if read:
        known["read_after"] = [*read, now] if now and how == "once" else list(read)
        again = "read again after more training" if how == "once" else "not read again"
        words = [f"test images {again}, first after epoch {read[0]}"]
    best = cfg.test_weights == "best" and cfg.callbacks.get("checkpoint")
    weights = f"the weights of the best {best.monitor}" if best else "the weights of the last epoch"
    if not is_overridden("validation_step", model):
        known |= {"val_images": None, "test_images_watched": False}
        words.append(f"no validation, for {type(model).__name__} has no validation_step: {weights}")
    elif known["test_images_watched"]:
        words = ["test images watched during training"]
    elif not data.holds_out:
        words.append(f"no validation: {weights}")
    elif known["validate_on"] == "own":
        words.append("validation by the data module's own split")
    elif known.get("fold") is not None:
        words.append(f"validation on fold {known['fold']} of {known['folds']} (0 to {known['folds'] - 1})")
    words += known.pop("remarks", [])
    if data.limits:
        few = (f"{limit:,} {name}" for name, limit in data.limits.items())
        words.append(f"at most {', '.join(few)} images used")
    return known | {"test": how, "class_names": list(data.class_names), "summary": "; ".join(words)}
