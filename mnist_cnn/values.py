"""Ranges of arguments, and how a plain value from YAML or the command line is held against a type.

A range stands with the argument it is for: `dropout: Share` in a signature is all that says that it is in [0, 1).
"""

import collections.abc
import dataclasses
import functools
import json
import types
import typing
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo

from mnist_cnn.errors import closest, nearest, shortened

Count = Annotated[int, Field(ge=1)]
NotNegativeInt = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Unit = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Ratio = Annotated[float, Field(ge=1)]
FoldCount = Annotated[int, Field(ge=2)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Angle = Annotated[float, Field(ge=0, le=180)]
PathName = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*\S[^\x00]*$")]  # never the folder one happens to be in
ShearAngle = Annotated[float, Field(ge=0, lt=90)]
SWITCHES = {"yes": "true", "y": "true", "on": "true", "no": "false", "n": "false", "off": "false"}  # elsewhere
T = TypeVar("T")
Some = Annotated[collections.abc.Sequence[T], Field(min_length=1)]
SplitSeed = Annotated[int, Field(ge=0, lt=2**63)]

# Numbers are no text, whole numbers are no switches, and nothing is rounded: what YAML says is what counts.
_STRICT = ConfigDict(arbitrary_types_allowed=True, strict=True, allow_inf_nan=False)


def problem(path: str, value: Any, hint: Any) -> str | None:
    """What is wrong with a value that is to stand for the annotated type; None if nothing is."""
    if fits(value, hint):
        return None
    options = [h for h in _options(hint) if h is not types.NoneType]
    choices = [c for h in options if typing.get_origin(h) is Literal for c in typing.get_args(h)]
    shown, wanted = shortened(value), describe(hint)
    if isinstance(value, str) and not value.strip() and any(_is_filled_text(option) for option in options):
        return f"{path} = {shown}: is empty; must be text{', or left out' * (types.NoneType in _options(hint))}"
    if bool in options:
        choices += ["true", "false"]
    if not choices or not isinstance(value, str):
        below = " and below 2**63" if _too_long(value) and "2**" not in wanted else ""
        return f"{path} = {shown}: must be {wanted}{below}"
    if all(typing.get_origin(h) is Literal for h in options):
        return f"{path} = {shown}: unknown value{nearest(value, choices)}"
    near = (SWITCHES.get(value.lower()) if bool in options else None) or closest(value, map(str, choices))
    return f"{path} = {shown}: must be {wanted}" + (f"; did you mean {near!r}?" if near else "")


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value (numbers, text, switches, null, lists and dictionaries of such) can stand for the type.

    A node with a `_target_` stands for any object; a type that pydantic cannot read accepts everything.
    """
    if _too_long(value):
        return False
    if _holds_node(value):
        return True
    adapter = _adapter(_Hashable(hint))
    if adapter is None:
        return True
    try:
        adapter.validate_json(json.dumps(value))
        return True
    except (ValidationError, TypeError):  # TypeError: an object of Python's, from a caller of the interface
        return False


def describe(hint: Any) -> str:
    """The type in words: `float in [0, 1)`, `int >= 1 or null`, `'best' or 'last'`."""
    if typing.get_origin(hint) is Annotated:
        kind, *notes = typing.get_args(hint)
        filled = any(isinstance(note, MinLen) for note in _bounds(notes))
        return f"{'non-empty ' * filled}{describe(kind)}{_range(notes)}"
    options = _options(hint)
    if len(options) > 1:
        return " or ".join(dict.fromkeys(describe(option) for option in options))
    if typing.get_origin(hint) is Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(hint))
    if hint in (None, types.NoneType):
        return "null"
    if hint is bool:
        return "true or false"
    if typing.get_origin(hint) is collections.abc.Callable:
        return "a node with a _target_ and _partial_: true"
    if arguments := [a for a in typing.get_args(hint) if a is not Ellipsis]:
        kind = typing.get_origin(hint)
        inner = ", ".join(describe(argument) for argument in arguments)
        return f"{'dict' if kind is dict else 'list'} of {inner}"
    return getattr(hint, "__name__", str(hint))


def _is_filled_text(hint: Any) -> bool:
    kind, *notes = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    return kind is str and any(isinstance(note, MinLen) for note in _bounds(notes))


def _range(notes: list[Any]) -> str:
    bounds = _bounds(notes)
    low = next((b for b in bounds if isinstance(b, Ge | Gt)), None)
    high = next((b for b in bounds if isinstance(b, Le | Lt)), None)
    if low and high:
        left, right = "(" if isinstance(low, Gt) else "[", ")" if isinstance(high, Lt) else "]"
        return f" in {left}{_number(low)}, {_number(high)}{right}"
    one = low or high
    return "" if one is None else f" {_SIGNS[type(one)]} {_number(one)}"


def _bounds(notes: list[Any]) -> list[Any]:
    return [bound for note in notes for bound in (note.metadata if isinstance(note, FieldInfo) else [note])]


_SIGNS = {Ge: ">=", Gt: ">", Le: "<=", Lt: "<"}


def _number(bound: Any) -> str:
    [number] = dataclasses.astuple(bound)
    return f"2**{number.bit_length() - 1}" if number in (2**32, 2**63) else f"{number}"


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _too_long(value: Any) -> bool:
    """Whether any whole number has more bits than the machine's, whatever the type says."""
    if isinstance(value, list):
        return any(_too_long(each) for each in value)
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _holds_node(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(_holds_node(v) for v in value.values())
    return isinstance(value, list) and any(_holds_node(v) for v in value)


class _Hashable:
    """A type as the key of a cache: some annotations cannot be hashed, but they are the same object every time."""

    def __init__(self, hint: Any) -> None:
        self.hint = hint

    def __hash__(self) -> int:
        return id(self.hint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and self.hint is other.hint


@functools.lru_cache(maxsize=4096)
def _adapter(key: _Hashable) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(key.hint, config=_STRICT)
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError):
        return None
