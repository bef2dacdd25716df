"""What a layer list may say: kinds of layers, their arguments, and what is wrong with a word that is neither."""

from typing import Any, Literal

from mnist_cnn.errors import LayerError, nearest
from mnist_cnn.values import Count, Share, Some, problem

# Each kind's main argument and the defaults of the others.
KINDS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "conv": (
        "filters",
        {"kernel": 3, "padding": "valid", "stride": 1, "groups": 1, "bias": True, "activation": None, "share": None},
    ),
    "dense": ("units", {"bias": True, "activation": None}),
    "batch_norm": (None, {}),
    "dropout": ("rate", {}),
    "pool": ("size", {"size": 2}),
    "activation": ("name", {"name": None}),  # the net's own
    "squeeze_excite": ("units", {}),
    "residual": ("layers", {}),
    "flatten": (None, {}),
    "gap": (None, {}),
    "gmp": (None, {}),
}
TYPES: dict[str, Any] = {
    "filters": Count, "units": Count, "kernel": Count, "size": Count, "rate": Share, "stride": Count,
    "groups": Count | Literal["depthwise"], "padding": Literal["valid", "same"], "bias": bool,
    "activation": str | None, "name": str | None, "share": str | None, "layers": Some[Any],
}  # fmt: skip
EXAMPLES = {"dropout": "0.1", "squeeze_excite": "4", "residual": "[conv: {filters: 16, padding: same}]"}


def parse(layer: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Kind and all arguments of one entry of a list.

    Raises:
        LayerError: an unknown kind, argument or value.
    """
    given: Any
    if isinstance(layer, str):
        kind, given = layer, {}
    elif isinstance(layer, dict) and len(layer) == 1:
        kind, given = next(iter(layer.items()))
    else:
        raise LayerError(f"{where}: must be a name or one `name: arguments`")
    if kind not in KINDS:
        raise LayerError(f"{where}: unknown layer{nearest(kind, KINDS)}")
    main, defaults = KINDS[kind]
    if given is None:
        given = {}
    if not isinstance(given, dict):
        if main is None:
            raise LayerError(f"{where}: takes no argument")
        given = {main: given}
    allowed = [*([main] if main else []), *defaults]
    for name in given:
        if name not in allowed:
            raise LayerError(f"{where}: unknown argument {name!r}{nearest(name, allowed)}")
    arguments = {**defaults, **given}
    if main and main not in arguments:
        raise LayerError(f"{where}: needs {main!r}, e.g. `{kind}: {EXAMPLES.get(kind, 16)}`")
    wrong = [found for name, value in given.items() if (found := problem(name, value, TYPES[name]))]
    if wrong:
        raise LayerError(f"{where}: {wrong[0]}")
    return kind, arguments


def short(layer: Any) -> str:
    """An entry of a list, for messages."""
    if isinstance(layer, dict):
        return ", ".join(f"{k}: {v}" for k, v in layer.items())
    return str(layer)
