"""Every `instantiate` of the package goes through here."""

from typing import Any

from hydra.utils import instantiate


def build(node: Any, **injected: Any) -> Any:
    """Instantiates one configuration node."""
    return instantiate(node, _convert_="all", **injected)
