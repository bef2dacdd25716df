"""Takes a trained net elsewhere: `python -m mnist_cnn.export run_dir=... format=onnx|torch|c|web`."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import answer_at_once

    answer_at_once("export")

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from mnist_cnn import cli
from mnist_cnn.config.command_line import evaluation_overrides
from mnist_cnn.config.compose import compose_named
from mnist_cnn.config.python_values import setting
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.export.c_file import make_c
from mnist_cnn.export.card import CARD, VECTOR, Card, vector
from mnist_cnn.export.made import Made, measure, require_free, write
from mnist_cnn.export.program import make_onnx, make_torch
from mnist_cnn.export.source import Source, find_source
from mnist_cnn.export.source_text import NAME
from mnist_cnn.export.web import PAGE, make_web
from mnist_cnn.report.console import logging_to
from mnist_cnn.report.text import wrapped
from mnist_cnn.values import PathName

log = logging.getLogger(__name__)
Format = Literal["onnx", "torch", "c", "web"]
SETTINGS: dict[str, Any] = {
    "run_dir": PathName | None,
    "checkpoint": PathName | None,
    "weights": Literal["best", "last"] | None,
    "format": Format,
    "precision": Literal["float32", "int8"],
    "out": PathName | None,
    "force": bool,
    "data_root": PathName | None,
}


@dataclass(frozen=True)
class Kind:
    """How a format is made, and the names of its files."""

    make: Callable[[Source, str], Made]
    files: tuple[str, ...]


KINDS: dict[str, Kind] = {
    "onnx": Kind(make_onnx, ("net.onnx", "net_float.onnx")),
    "torch": Kind(make_torch, ("net.pt2",)),
    "c": Kind(make_c, (f"{NAME}.h", f"{NAME}.c", f"{NAME}_try.c")),
    "web": Kind(make_web, (PAGE,)),
}


def export(cfg: DictConfig) -> Path:
    """Writes a trained net in another format, with its model card and a test vector, and returns their folder.

    Nothing is written before all of it has been made and measured.

    Raises:
        ConfigError, RunError, DataError: no such run or format, a layer that the format cannot express, an export that
            says something else than the net, files that are there already.
    """
    source = find_source(cfg, SETTINGS)
    if cfg.precision != "float32" and cfg.format != "c":
        raise ConfigError(
            [f"precision = {cfg.precision!r}: format={cfg.format} has float32 alone; int8 is for format=c"]
        )
    kind = KINDS[cfg.format]
    form = cfg.format if cfg.precision == "float32" else f"{cfg.format}_{cfg.precision}"
    folder = Path(cfg.out) if cfg.out is not None else source.folder / "export" / form
    require_free(folder, [*kind.files, CARD, VECTOR], cfg.force)
    source.images(source.measured_on)  # of other classes: refused before what takes seconds
    made = kind.make(source, cfg.precision)
    measured = measure(source, made.logits, made.measured_by) if made.logits else None
    if measured and cfg.precision == "float32" and not measured.is_the_net:
        wrong = f"format={cfg.format} does not say what the net says: {measured}; nothing was written"
        raise RunError(f"{source.weights}: {wrong}. That is a mistake in this package, please report it")
    card = Card(source, form.replace("_", ", "), made, measured).text().encode()
    write(folder, {**made.files, CARD: card, VECTOR: vector(source, made)})
    log.info(f"{source.weights}: {source.name}, as {form}")
    if source.unfinished:
        log.warning(wrapped(f"the run is {source.unfinished}", 2))
    log.info(wrapped(f"{measured} ({made.measured_by})" if measured else f"not measured: {made.measured_by}", 2))
    for name, words in made.facts.items():
        log.info(wrapped(f"{name}: {words}", 2))
    log.info(wrapped(f"files: {setting('out', folder)}: {', '.join([*made.files, CARD, VECTOR])}", 2))
    return folder


def main() -> None:
    with cli.user_errors(), logging_to(), quiet_libraries():
        overrides = evaluation_overrides(cli.arguments(), "export")
        if overrides is not None:
            export(compose_named("export", overrides))


if __name__ == "__main__":
    main()
