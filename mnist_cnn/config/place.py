"""Where the configuration files are, and what chooses among them."""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent
NETS = PACKAGE / "nets"  # trained ones, with the package


def config_dir() -> Path:
    """The wheel carries conf/ inside the package; a checkout has it beside the package."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def is_group(key: str) -> bool:
    """Whether files of a folder there are chosen by it."""
    return (config_dir() / key).is_dir()
