"""The boundary between configuration and objects: whatever a key names is built, and called for the first time, here.

What goes wrong meanwhile becomes one line with the key, the user's value, the class and its words; a mistake of this
package keeps its traceback.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

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
        raise ConfigError([refusal(key, node, error) + hint(str(error))]) from raised


def problems_of(attempt: Callable[..., list[str] | None], *given: Any) -> list[str]:
    """What an attempt to build something says is wrong, or ends in; nothing where it succeeds."""
    try:
        return attempt(*given) or []
    except ConfigError as error:
        return error.problems
