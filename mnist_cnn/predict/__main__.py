"""Reads digits on pictures: `python -m mnist_cnn.predict photo.jpg scans/ run_dir=...`."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import answer_at_once

    answer_at_once("predict")

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig
from PIL import Image

from mnist_cnn import cli
from mnist_cnn.config.command_line import evaluation_overrides
from mnist_cnn.config.compose import compose_named
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.data.photo import Preparation
from mnist_cnn.errors import ConfigError, DataError, RunError
from mnist_cnn.files import require_replaceable, write_atomically
from mnist_cnn.models.layers import CLASSES
from mnist_cnn.predict.answers import Answer, Way, answers_of
from mnist_cnn.predict.shown import as_csv, as_json, as_sheet, as_text
from mnist_cnn.predict.sources import find_pictures, split_arguments
from mnist_cnn.report.console import logging_to
from mnist_cnn.runs.shipped import DEFAULT
from mnist_cnn.runs.trained import load_net, locate
from mnist_cnn.values import PathName

DIGITS_ANYWAY = "prepare=mnist makes digits of them, as MNIST's were made"
SETTINGS: dict[str, Any] = {
    "run_dir": PathName | None,
    "checkpoint": PathName | None,
    "weights": Literal["best", "last"] | None,
    "prepare": Preparation | None,
    "several": bool,
    "format": Literal["text", "json", "csv"],
    "out": PathName | None,
    "sheet": PathName | None,
    "force": bool,
}


def predict(cfg: DictConfig, names: Sequence[str]) -> list[Answer]:
    """Reads pictures and says what they show; those that cannot be read are named at the end, the others are done.

    Raises:
        ConfigError, RunError: no such net, a target that cannot be written; before anything is read.
        DataError: pictures that could not be read.
    """
    if cfg.run_dir is None and cfg.checkpoint is None:
        cfg.run_dir = DEFAULT
    _, checkpoint = locate(cfg, SETTINGS)
    if not names:
        raise ConfigError(["name pictures, folders or patterns, or - for standard input; see --help"])
    if cfg.several and cfg.prepare == "resize":
        raise ConfigError(["several = true: goes with prepare=mnist, not with prepare=resize"])
    for key in ("out", "sheet"):
        _require_target(key, cfg[key], cfg.force)
    net = load_net(checkpoint)
    classes = net.class_names or [str(i) for i in range(getattr(net.module, "num_classes", CLASSES))]
    pictures, problems = find_pictures(names)
    preparation: Preparation = cfg.prepare or net.scale.preparation
    if cfg.several and preparation == "resize":
        raise ConfigError([f"several = true: {checkpoint} was trained on pictures scaled as a whole; {DIGITS_ANYWAY}"])
    if cfg.prepare is None and preparation == "resize":
        # not among the answers
        print(f"Pictures are scaled as a whole, as those of the training; {DIGITS_ANYWAY}.", file=sys.stderr)
    way: Way = "several" if cfg.several else preparation
    answers = list(answers_of(net, pictures, way, classes, thumbnails=cfg.sheet is not None))
    problems += [answer.problem for answer in answers if answer.problem]
    _write(cfg, answers, classes)
    if problems:
        total = len(pictures) + len(problems) - sum(answer.problem is not None for answer in answers)
        head = f"{len(problems)} of {total} could not be read:"
        raise DataError(problems[0] if total == 1 else "\n".join([head, *(f"  - {each}" for each in problems)]))
    return answers


def _write(cfg: DictConfig, answers: Sequence[Answer], classes: Sequence[str]) -> None:
    text = {
        "text": lambda: as_text(answers, classes, cfg.several),
        "json": lambda: as_json(answers, classes),
        "csv": lambda: as_csv(answers, classes),
    }[cfg.format]()
    if cfg.out is not None:
        # names of files may be other than UTF-8
        write_atomically(Path(cfg.out), f"{text}\n".encode(errors="surrogateescape"))
    elif text:
        print(text)
    if cfg.sheet is not None:
        packed = io.BytesIO()
        as_sheet(answers, classes).save(packed, Image.registered_extensions()[Path(cfg.sheet).suffix.lower()])
        write_atomically(Path(cfg.sheet), packed.getvalue())


def _require_target(key: str, name: str | None, force: bool) -> None:
    """Raises where a file cannot or must not be written."""
    if name is None:
        return
    path = Path(name)
    if not path.parent.is_dir():
        raise RunError(f"{key}={name}: no folder {path.parent}")
    require_replaceable(path)
    if path.exists() and not force:
        raise RunError(f"{key}={name}: is there already; force=true overwrites it")
    if key == "sheet" and path.suffix.lower() not in (".png", ".jpg", ".webp"):
        raise ConfigError([f"sheet={name}: a picture file is needed: .png, .jpg or .webp"])


def main() -> None:
    with cli.user_errors(), logging_to(), quiet_libraries():
        names, others = split_arguments(cli.arguments(), list(SETTINGS))
        overrides = evaluation_overrides(others, "predict")
        if overrides is not None:
            predict(compose_named("predict", overrides), names)


if __name__ == "__main__":
    main()
