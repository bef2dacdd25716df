"""Whether the Trainer's numbers leave any batch, once the data have said how many there are."""

import logging
from collections.abc import Sequence

from omegaconf import DictConfig

from mnist_cnn.config.build import DataModule
from mnist_cnn.errors import ConfigError

log = logging.getLogger(__name__)


def check_batches(cfg: DictConfig, data: DataModule, given: Sequence[str]) -> None:
    """Holds limits and intervals of the Trainer, and the batch size, against the data.

    Args:
        given: overrides; what is none of them was not asked for.
        data: set up; of a user's own, whose loaders may have no length, nothing is asked.

    Raises:
        ConfigError: naming the key and how many batches or images there are.
    """
    trainer, sizes = cfg.trainer, {split: len(images) for split, images in data.splits.items()}
    problems, batches = [], {}
    for split, key in (("train", "batch_size"), ("val", "eval_batch_size")):
        if split not in sizes:
            continue
        batches[split] = -(-sizes[split] // cfg.data[key])
        limit = trainer.get(f"limit_{split}_batches")
        if isinstance(limit, float) and limit * batches[split] < 1:
            problems.append(f"trainer.limit_{split}_batches = {limit}: no batch of {batches[split]}")
    every = trainer.get("val_check_interval")
    if "train" in batches and isinstance(every, int) and every > batches["train"]:
        words = f"more than the {batches['train']} batches of an epoch, so no validation"
        problems.append(f"trainer.val_check_interval = {every}: {words}")
    if "train" in batches and isinstance(every, float) and every * batches["train"] < 1:
        problems.append(f"trainer.val_check_interval = {every}: no batch of {batches['train']}")
    if "train" in sizes and cfg.data.batch_size > sizes["train"]:
        asked = {text.partition("=")[0] for text in given}
        few = data.limits.get("training") is not None and "data.limit_train" not in asked
        size, count = f"data.batch_size = {cfg.data.batch_size}", f"{sizes['train']:,} training images"
        if "data.batch_size" in asked and not few:
            problems.append(f"{size}: there are only {count}")
        else:  # a net's own file, which does not know how few the images are
            log.info(f"{size}: all {count} are one batch")
    if problems:
        raise ConfigError(problems)
