"""Where the configuration files are, and what chooses among them."""

import sys
from collections.abc import Iterable
from pathlib import Path

from mnist_cnn.errors import closest

PACKAGE = Path(__file__).parent.parent
NETS = PACKAGE / "nets"  # trained ones, with the package


def config_dir() -> Path:
    """The wheel carries conf/ inside the package; a checkout has it beside the package."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def is_group(key: str) -> bool:
    """Whether files of a folder there are chosen by it."""
    return (config_dir() / key).is_dir()


def net_meant(name: str) -> str:
    """The end of a message about a net that is not there: the one of the package that is most like it, if any is."""
    near = closest(name, [folder.name for folder in NETS.iterdir()])
    return f"; did you mean {near!r}?" if near else ""


def import_from(folders: Iterable[str | Path]) -> None:
    """Finds classes of a user's own in folders of configuration files, and beside them."""
    for folder in (Path(str(each).removeprefix("file://")).resolve() for each in folders):
        sys.path += [path for path in (str(folder), str(folder.parent)) if path not in sys.path]
