"""A trained net, or several together, measured beyond accuracy: classes, calibration, surest mistakes, corruptions."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from mnist_cnn.data.images import SIDE, ImageSet
from mnist_cnn.data.views import shifted_views
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.models.answers import logits_of
from mnist_cnn.report.calibration import (
    COLDEST,
    HOTTEST,
    calibration,
    class_figures,
    fitted_temperature,
    mean_of_probabilities,
    prediction_rows,
)
from mnist_cnn.report.details import class_table, corruption_table, reliability
from mnist_cnn.report.plots import mistakes, save_plots
from mnist_cnn.report.text import wrapped
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.shipped import run_path
from mnist_cnn.runs.trained import Net, checkpoint_of, listed, load_net
from mnist_cnn.speed.measures import hasten_answers

log = logging.getLogger(__name__)


def load_members(names: Sequence[str], weights: str | None) -> list[Net]:
    """The nets of an ensemble.

    Raises:
        ConfigError, RunError: fewer than two, no such net, or other classes.
    """
    if len(names) < 2:
        raise ConfigError([f"ensemble = {list(names)}: needs two runs or more"])
    members = [load_net(checkpoint_of(run_path(name), weights)) for name in names]
    black = torch.zeros((1, SIDE, SIDE), dtype=torch.uint8)
    classes = [logits_of(member.module, member.scale, black).shape[1] for member in members]
    told = next((i for i, member in enumerate(members) if member.class_names), 0)
    for name, member, count in zip(names, members, classes, strict=True):
        if count != classes[0]:
            raise RunError(f"{name}: a net for {count} classes, {names[0]} for {classes[0]}")
        if member.class_names and member.class_names != members[told].class_names:
            own, others = listed(member.class_names), listed(members[told].class_names or [])
            raise RunError(f"{name}: tells other classes apart ({own}) than {names[told]} ({others})")
    return members


def validated_alike(names: Sequence[str]) -> bool:
    """Whether no run of an ensemble trained on images that another one validated on."""
    found = set()
    for path in map(run_path, names):
        record = Run(path if path.is_dir() else path.resolve().parent.parent).record()
        one = record.protocol if record is not None else None
        found.add(one and (one.dataset, one.validate_on, one.split_seed, one.fold, one.folds, one.val_images))
    return len(found) == 1 and None not in found


def measure_further(
    members: Sequence[Net],
    data: ImageDataModule,
    folder: Path,
    title: str,
    kept: bool,
    details: bool,
    corruptions: bool,
    shifts: bool,
) -> dict[str, Any]:
    """Figures by name, logged as tables; plots go to the folder.

    Args:
        members: one net, or those of an ensemble.
        data: prepared, with labelled test images.
        kept: no member trained on its validation images.
    """
    data.setup("test")
    test = data.splits["test"]
    logits = together(members, test)
    figures: dict[str, Any] = {}
    if len(members) > 1:
        accuracy, loss = _accuracy(logits, test), float(F.cross_entropy(logits, test.labels))
        figures |= {"ensemble/acc": accuracy, "ensemble/loss": loss}
        alone = ", ".join(f"{_accuracy(together([member], test), test):.2%}" for member in members)
        log.info(wrapped(f"ensemble of {len(members)}: accuracy {accuracy:.2%}, loss {loss:.4f}; alone {alone}", 2))
    if shifts:
        accuracy = _accuracy(mean_of_views(members, test.images), test)
        figures["shifted/acc"] = accuracy
        log.info(
            wrapped(f"by the mean of nine views of each image, moved by up to a pixel: accuracy {accuracy:.2%}", 2)
        )
    if details:
        figures |= _details(members, logits, data, folder, title, kept)
    if corruptions:
        table = {
            name: [
                _accuracy(together(members, made), made)
                for made in (ImageSet(corrupted(test.images, name, s + 1), test.labels) for s in range(STRENGTHS))
            ]
            for name in CORRUPTIONS
        }
        log.info(corruption_table(table))
        rows = {f"corrupted/{name}/{i}": value for name, row in table.items() for i, value in enumerate(row, 1)}
        figures |= {"corrupted/acc": sum(rows.values()) / len(rows), **rows}
    return figures


def _details(
    members: Sequence[Net], logits: Tensor, data: ImageDataModule, folder: Path, title: str, kept: bool
) -> dict[str, Any]:
    test, names = data.splits["test"], data.class_names
    log.info(class_table(class_figures(logits, test.labels, names)))
    error, bins = calibration(logits, test.labels)
    figures = {"test/ece": error}
    drawn = {"surest_mistakes.png": mistakes(test, prediction_rows(logits, test.labels), title, names)}
    chosen = _held_out(data) if kept else None
    temperature = None if chosen is None else fitted_temperature(together(members, chosen), chosen.labels)
    why = "no image was kept from training for it" if kept else "not all runs kept the same images from training"
    if chosen is not None and temperature is None:
        why = f"none from {COLDEST:g} to {HOTTEST:g} fits the {len(chosen):,} validation images"
    if chosen is None or temperature is None:
        log.info(wrapped(f"calibration error {error:.4f}; no temperature: {why}", 2))
        drawn["reliability.png"] = reliability(bins, [], title, [f"as it is: ECE {error:.4f}", "-"])
    else:
        better, fitted = calibration(logits / temperature, test.labels)
        figures |= {"temperature": temperature, "test/ece_with_temperature": better}
        log.info(
            wrapped(
                f"calibration error {error:.4f}; {better:.4f} with logits divided by {temperature:.3f}, which was "
                f"fitted on {len(chosen):,} validation images",
                2,
            )
        )
        words = [f"as it is: ECE {error:.4f}", f"logits divided by {temperature:.2f}: {better:.4f}"]
        drawn["reliability.png"] = reliability(bins, fitted, title, words)
    save_plots(drawn, folder)
    log.info(wrapped(f"plots in {folder}: {', '.join(drawn)}", 2))
    return figures


def _held_out(data: ImageDataModule) -> ImageSet | None:
    """Validation images that are not the test's."""
    if data.validate_on == "test":
        return None
    data.setup("fit")
    return data.splits.get("val")


def mean_of_views(members: Sequence[Net], images: Tensor) -> Tensor:
    """Logits (N, classes): the members' mean probabilities over nine views of each image (N, 1, 28, 28)."""
    views = shifted_views(images)
    return mean_of_probabilities([_logits(one, view) for one in members for view in views])


def together(members: Sequence[Net], images: ImageSet) -> Tensor:
    """Logits (N, classes): of one net as it says them, of several the logarithm of their mean probabilities."""
    logits = [_logits(member, images.images) for member in members]
    return logits[0] if len(members) == 1 else mean_of_probabilities(logits)


def _logits(member: Net, images: Tensor) -> Tensor:
    hasten_answers(member.module)
    return logits_of(member.module, member.scale, images)


def _accuracy(logits: Tensor, images: ImageSet) -> float:
    return float((logits.argmax(1) == images.labels).double().mean())
