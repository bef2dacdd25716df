"""Trained nets that come with the package, and what a name of a run means."""

from pathlib import Path

from mnist_cnn.config.place import NETS

DEFAULT = "gap"


def shipped() -> list[str]:
    return sorted(file.parent.name for file in NETS.glob("*/config.yaml"))


def run_path(name: str | Path) -> Path:
    """The directory or file that a user names.

    The bare name of a shipped net, as text, is that net, whatever lies in the working folder; all else is a path. So
    the net is `gap`, and a folder of that name `./gap`.
    """
    return NETS / name if isinstance(name, str) and name in shipped() else Path(name)
