"""Whether the Trainer's numbers leave any batch, and whether the net goes with the batches, once the data are there."""

import copy
import logging
from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.seed import isolate_rng

from mnist_cnn.config.build import DataModule
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import INPUT_SHAPE
from mnist_cnn.models.net import NetClassifier
from mnist_cnn.runs.record import Record

log = logging.getLogger(__name__)
FEW = 8  # images that a net is shown


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


def require_same_images(data: DataModule, before: Record | None) -> None:
    """Raises RunError where a run would go on with other images: more, fewer, divided otherwise, or of other pixels."""
    if before is None or before.protocol is None or not isinstance(data, ImageDataModule):
        return
    then = {"training": before.protocol.train_images, "validation": before.protocol.val_images}
    now = {"training": len(data.splits["train"]), "validation": len(data.splits.get("val", ()))}
    if others := [kind for kind, count in then.items() if count not in (None, now[kind])]:
        told = " and ".join(f"{now[kind]:,} {kind} images, of {then[kind]:,} when it began" for kind in others)
        raise RunError(f"{data.dataset}: {told}; a run cannot go on with others")
    digests = before.protocol.images or {}
    if changed := [split for split, digest in data.digests.items() if digests.get(split, digest) != digest]:
        said = f"the {' and '.join(changed)} images or their labels have changed since it began"
        raise RunError(f"{data.dataset}: {said}; a run cannot go on with others")


def check_last_batch(cfg: DictConfig, data: DataModule, model: pl.LightningModule) -> None:
    """A batch of one image, if the last one is: batch norm after a dense layer has no spread to go by there.

    Raises:
        ConfigError: the net cannot train on it.
    """
    images = data.splits.get("train")
    if images is None or not isinstance(model, Classifier) or len(images) % cfg.data.batch_size != 1:
        return
    try:
        with isolate_rng(), torch.no_grad():
            copy.deepcopy(model.net).train()(torch.zeros(1, *INPUT_SHAPE))
    except ValueError as error:
        size = f"data.batch_size = {cfg.data.batch_size}"
        words = f"the last of {len(images):,} training images is a batch of its own, and batch norm takes none of one"
        raise ConfigError([f"{size}: {words} ({error})"]) from error


def warn_of_softmax(data: DataModule, model: pl.LightningModule) -> None:
    """Cross-entropy takes logits: of a net of somebody's own that ends in probabilities it takes the softmax again."""
    images = data.splits.get("train")
    if images is None or not isinstance(model, NetClassifier) or model.loss != "cross_entropy":
        return
    with isolate_rng(), torch.no_grad():
        given = images.first(FEW).images.float() / data.divide_by
        said = copy.deepcopy(model.net).eval()(given)
    if bool((said >= 0).all()) and torch.allclose(said.sum(1), torch.ones(len(said)), atol=1e-4):
        log.warning(
            "The net gives probabilities: those of each image add up to 1. model.loss=cross_entropy takes logits, for "
            "it has a softmax of its own, so leave the net's out; with both it learns slowly."
        )
