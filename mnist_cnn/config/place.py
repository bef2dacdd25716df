"""Where the configuration files are."""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent
NETS = PACKAGE / "nets"  # trained ones, with the package


def config_dir() -> Path:
    """The wheel carries conf/ inside the package; a checkout has it beside the package."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"
