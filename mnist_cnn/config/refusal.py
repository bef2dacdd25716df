"""What a library or a user's own code says while a node is built, as a line about the configuration."""

import re
import sys
import types
from typing import Any

from mnist_cnn.config.signatures import arguments
from mnist_cnn.errors import in_one_line, nearest

_UNEXPECTED = re.compile(r"(?P<callee>[\w.<>]+)\(\) got an unexpected keyword argument '(?P<key>\w+)'")


def refusal(path: str, node: dict[str, Any], error: Exception) -> str:
    """One line; a keyword that got through some `**options` and that nobody takes is named as the key it is.

    Args:
        path: of the node that was being built.
        error: with what Hydra wraps around it.
    """
    cause = error.__cause__ or error
    found = _UNEXPECTED.match(str(cause)) if isinstance(cause, TypeError) else None
    if found is None or found["key"] not in node:
        return f"{path}: {node['_target_']}: {in_one_line(cause)}"
    key, name = found["key"], found["callee"].removesuffix(".__init__")
    callee = _callee(cause, name)
    hint = nearest(key, arguments(callee)[0], f"{path}.") if callee is not None else ""
    return f"{path}.{key}: unknown key{hint or f', not taken by {name}'}"


def _callee(error: BaseException, name: str) -> Any:
    """The class or function of a qualified name, from the frame that called it, else from all modules.

    None where there is none, or several.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    near = [*trace.tb_frame.f_locals.values(), *trace.tb_frame.f_globals.values()] if trace is not None else []
    everywhere = [vars(module).get(name) for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    for places in (near, everywhere):
        found = {id(seen): seen for seen in places if _is_named(seen, name)}
        if len(found) == 1:
            return next(iter(found.values()))
    return None


def _is_named(seen: Any, name: str) -> bool:
    return isinstance(seen, type | types.FunctionType) and seen.__qualname__ == name
