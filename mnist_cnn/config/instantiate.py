"""The boundary between configuration and objects: whatever a key names is built, and called for the first time, here.

What goes wrong meanwhile becomes one line with the key, the user's value, the class and its words; a mistake of this
package keeps its traceback.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mnist_cnn.config.refusal import refusal
from mnist_cnn.errors import ConfigError, LayerError, PartError, UserError, is_ours


def build(node: Any, key: str, **injected: Any) -> Any:
    """Instantiates the node of a key.

    Raises:
        ConfigError: what it names refuses its values.
    """
    with named(key, node):
        return instantiate(node, _convert_="all", **injected)


@contextlib.contextmanager
def named(key: str, node: Any, hint: Callable[[str], str] = lambda words: "") -> Iterator[None]:
    """Around the first calls of what the node of a key has become.

    Args:
        hint: more to say, by the words of the error.

    Raises:
        ConfigError: instead of whatever comes from there.
    """
    try:
        yield
    except Exception as raised:
        error: BaseException = (raised.__cause__ or raised) if isinstance(raised, InstantiationException) else raised
        if isinstance(error, LayerError):
            raise ConfigError([f"{key}: {error}"]) from raised
        if isinstance(error, UserError) and not isinstance(error, PartError):
            raise error from raised
        if is_ours(error):
            raise
        raise ConfigError([refusal(*_refused(key, node, raised), error) + hint(str(error))]) from raised


def _refused(key: str, node: Any, raised: Exception) -> tuple[str, Any]:
    """The key and the node that Hydra was at, which may lie inside the one it was asked for."""
    if not isinstance(raised, InstantiationException):
        return key, node
    at = str(raised).rpartition("\nfull_key: ")[2]  # from the root where the node is a part of a configuration
    whole = _letters(key)
    meant = whole + _letters(at).removeprefix(whole)
    plain = OmegaConf.to_container(OmegaConf.create(node))
    return next(((path, inner) for path, inner in _nodes(plain, key) if _letters(path) == meant), (key, node))


def _nodes(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield path, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in entries:
        yield from _nodes(each, f"{path}[{name}]" if isinstance(value, list) else f"{path}.{name}")


def _letters(path: str) -> str:
    """Hydra writes `transforms0` for `transforms[0]`."""
    return "".join(letter for letter in path if letter not in ".[]")


def problems_of(attempt: Callable[..., list[str] | None], *given: Any) -> list[str]:
    """What an attempt to build something says is wrong, or ends in; nothing where it succeeds."""
    try:
        return attempt(*given) or []
    except ConfigError as error:
        return error.problems
