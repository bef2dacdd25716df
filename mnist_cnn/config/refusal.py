"""What a library or a user's own code says while a node is built, as a line about the configuration."""

import re
import sys
import types
from typing import Any

from mnist_cnn.config.signatures import arguments
from mnist_cnn.errors import in_one_line, nearest, shortened

LONGEST = 80  # characters of a value that stands beside others

_MISSING = re.compile(r"missing \d+ required (positional|keyword-only) arguments?: '(?P<key>\w+)'")
_UNEXPECTED = re.compile(r"(?P<callee>[\w.<>]+)\(\) got an unexpected keyword argument '(?P<key>\w+)'")


def refusal(path: str, node: dict[str, Any], error: BaseException) -> str:
    """One line; a keyword that got through some `**options` and that nobody takes is named as the key it is.

    Args:
        path: of the node that was being built.
        error: without what Hydra wraps around it.
    """
    if isinstance(error, TypeError) and (missing := _MISSING.search(str(error))):
        return f"{path}.{missing['key']}: missing"
    found = _UNEXPECTED.match(str(error)) if isinstance(error, TypeError) else None
    if found is None or found["key"] not in node:
        words = in_one_line(error)
        return f"{_place(path, node, words)}: {words}"
    key, name = found["key"], found["callee"].removesuffix(".__init__")
    callee = _callee(error, name)
    hint = nearest(key, arguments(callee)[0], f"{path}.") if callee is not None else ""
    return f"{path}.{key}: unknown key{hint or f', not taken by {name}'}"


def _place(path: str, node: Any, words: str) -> str:
    """The arguments that the words speak of, else all that the node gives."""
    given = {name: value for name, value in node.items() if not name.startswith("_")}
    meant = [name for name in given if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", words)]
    meant = meant or [name for name, value in given.items() if isinstance(value, str) and repr(value) in words]
    if meant:
        places = ", ".join(f"{path}.{name} = {shortened(given[name], LONGEST)}" for name in meant)
        return f"{places}: {node['_target_']}"
    values = ", ".join(f"{name}={shortened(value, LONGEST)}" for name, value in given.items())
    return f"{path}: {node['_target_']}" + (f" with {shortened(values, LONGEST, quoted=False)}" if values else "")


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
