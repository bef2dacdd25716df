"""The groups `optimizer`, `scheduler`, `callbacks` and `logger`: how a checked node becomes an object."""

from pkgutil import resolve_name
from typing import Any

from omegaconf import OmegaConf

from mnist_cnn.config.instantiate import build
from mnist_cnn.config.signatures import arguments
from mnist_cnn.optim import InParts, Schedule


def build_optimizer(node: Any) -> InParts:
    """The group `optimizer`: a factory that wants the named parameters of a net."""
    plain = _plain(node)
    own = {key: plain.pop(key) for key in ("decay_norms", "parts") if key in plain}
    return InParts(build(plain, "optimizer", _partial_=True), **own)


def build_schedule(node: Any) -> Schedule | None:
    """The group `scheduler`; None where it is empty: a constant rate."""
    if not node:
        return None
    plain = _plain(node)
    own = {key: plain.pop(key) for key in ("interval", "frequency", "monitor") if key in plain}
    return Schedule(build(_waiting(plain), "scheduler"), **own)


def _waiting(value: Any) -> Any:
    """What needs an optimizer, however deep, becomes a factory that waits for it."""
    if isinstance(value, list):
        return [_waiting(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _waiting(each) for key, each in value.items()}
    waits = "_target_" in value and "optimizer" in arguments(resolve_name(value["_target_"]))[0]
    return inner | ({"_partial_": True} if waits else {})


def offered(node: Any, key: str, **values: Any) -> Any:
    """Instantiates a node with those of the values that its target takes and that it does not set itself."""
    taken = arguments(resolve_name(node["_target_"]))[0]
    return build(node, key, **{name: value for name, value in values.items() if name in taken and name not in node})


def _plain(node: Any) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else dict(node)
    return plain
