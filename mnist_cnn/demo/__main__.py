"""Writes the page and opens it: `python -m mnist_cnn.demo`."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import usage_at_once
    from mnist_cnn.demo.usage import USAGE

    usage_at_once(USAGE)

import logging
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from mnist_cnn import cli
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.demo.usage import USAGE
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.export.source import find_source
from mnist_cnn.export.web import page
from mnist_cnn.files import kind_of, write_atomically
from mnist_cnn.report.console import logging_to
from mnist_cnn.runs.shipped import DEFAULT
from mnist_cnn.values import PathName

log = logging.getLogger(__name__)
SETTINGS: dict[str, Any] = {
    "run_dir": PathName | None,
    "checkpoint": PathName | None,
    "weights": Literal["best", "last"] | None,
    "data_root": PathName | None,
}
OURS = b"made by mnist_cnn"


def demo(given: dict[str, Any], out: Path, opens: bool) -> None:
    """Writes the page and opens it; where there is no browser to be seen, its place is printed.

    Raises:
        ConfigError, RunError: no such run, a net that a page cannot express, another file in the place of the page.
    """
    if not given.get("run_dir") and not given.get("checkpoint"):
        given = {**given, "run_dir": DEFAULT}
    source = find_source(OmegaConf.create(dict.fromkeys(SETTINGS) | given), SETTINGS)
    source.require_pixels()
    content = page(source).encode()
    if kind_of(out) == "a file" and OURS not in out.read_bytes():
        raise RunError(f"{out}: is there already, and no page of ours; out=<file> goes elsewhere")
    write_atomically(out, content)
    opened = opens and can_show() and webbrowser.open(out.resolve().as_uri())
    log.info(f"{source.name}: {'opened' if opened else 'open it in a browser:'} {out.resolve()}")


def can_show() -> bool:
    """Whether a browser would have a screen."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def main() -> None:
    with cli.user_errors(), logging_to(), quiet_libraries():
        names, options = cli.read_options(cli.arguments(USAGE), SETTINGS | {"out": PathName, "open": bool})
        if names:
            raise ConfigError([f"{names[0]}: expected key=value, such as run_dir={names[0]}"])
        out, opens = Path(options.pop("out", "draw.html")), options.pop("open", True)
        demo(options, out, opens)


if __name__ == "__main__":
    main()
