"""Networks as flat layer lists, in the order a published summary prints them.

A layer is a name (`batch_norm`, `pool`, `flatten`, `gap` and `gmp`: the average and the maximum over the image), or a
name with its main number (`conv: 12`, `dense: 128`, `dropout: 0.1`, `pool: 2`, `activation: sigmoid`), or a name with
all its arguments (`conv: {filters: 10, kernel: 1, padding: same, bias: false, activation: none}`). Convolutions have
stride 1 and no padding unless they say so. `conv` and `dense` are followed by the net's activation, except the last of
them: its output are the logits.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mnist_cnn.errors import LayerError, nearest
from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.values import Count, Share, problem

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU, "none": None,
}  # fmt: skip
# Each kind's main argument and the defaults of the others.
KINDS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "conv": ("filters", {"kernel": 3, "padding": "valid", "bias": True, "activation": None}),
    "dense": ("units", {"bias": True, "activation": None}),
    "batch_norm": (None, {}),
    "dropout": ("rate", {}),
    "pool": ("size", {"size": 2}),
    "activation": ("name", {"name": None}),  # the net's own
    "flatten": (None, {}),
    "gap": (None, {}),
    "gmp": (None, {}),
}
TYPES: dict[str, Any] = {
    "filters": Count, "units": Count, "kernel": Count, "size": Count, "rate": Share,
    "padding": Literal["valid", "same"], "bias": bool, "activation": str | None, "name": str | None,
}  # fmt: skip
INITS = ("pytorch", "glorot_uniform")


class GlobalAveragePooling(nn.Module):
    """(N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class GlobalMaxPooling(nn.AdaptiveMaxPool2d):
    """(N, C, H, W) to (N, C)."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten(1)


@dataclass(frozen=True)
class LayerRow:
    """One line of a printed summary; shapes as (channels, height, width) or (units,), without the batch."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int  # as Keras counts them: moving mean and variance of batch norm included
    trainable: int


def build_sequential(
    layers: Sequence[Any],
    activation: str,
    init: str,
    bn_momentum: float,
    bn_eps: float,
    bn_debias: bool = False,
    classes: int = CLASSES,
) -> tuple[nn.Sequential, list[LayerRow]]:
    """Builds the network of a layer list, with the rows of its summary.

    Raises:
        LayerError: an unknown layer, argument or value, or shapes that do not fit.
    """
    batch_norm = {"eps": bn_eps, "momentum": bn_momentum, "debias": bn_debias}
    if init not in INITS:
        raise LayerError(f"init = {init!r}: unknown{nearest(init, INITS)}")
    _activation(activation, "activation")
    parsed = [_parse(layer, f"layer {i} ({_short(layer)})") for i, layer in enumerate(layers, 1)]
    weighted = [i for i, (kind, _) in enumerate(parsed) if kind in ("conv", "dense")]
    net, rows = nn.Sequential(), []
    shape: tuple[int, ...] = INPUT_SHAPE
    for i, (kind, arguments) in enumerate(parsed):
        where = f"layer {i + 1} ({_short(layers[i])})"
        follows = arguments.pop("activation", None) or ("none" if i in weighted[-1:] else activation)
        if kind == "activation":
            arguments["name"] = arguments["name"] or activation
        modules = [_module(kind, arguments, shape, where, batch_norm)]
        if kind in ("conv", "dense"):
            if init == "glorot_uniform":
                nn.init.xavier_uniform_(modules[0].weight)
                if modules[0].bias is not None:
                    nn.init.zeros_(modules[0].bias)
            extra = _activation(follows, where)
            modules += [extra] if extra is not None else []
        shape = _output_shape(modules[0], shape, where)
        for module in modules:
            net.append(module)
        rows.append(LayerRow(f"{kind}_{i + 1}", type(modules[0]).__name__, shape, *_counts(modules[0])))
    if shape != (classes,):
        raise LayerError(f"the last layer gives {_text(shape)}; needed: {classes} logits, e.g. from flatten or dense")
    return net, rows


def _parse(layer: Any, where: str) -> tuple[str, dict[str, Any]]:
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
        raise LayerError(f"{where}: needs {main!r}, e.g. `{kind}: {0.1 if kind == 'dropout' else 16}`")
    wrong = [found for name, value in given.items() if (found := problem(name, value, TYPES[name]))]
    if wrong:
        raise LayerError(f"{where}: {wrong[0]}")
    return kind, arguments


def _module(
    kind: str, arguments: dict[str, Any], shape: tuple[int, ...], where: str, batch_norm: dict[str, Any]
) -> Any:
    flat = len(shape) == 1
    if kind in ("conv", "pool", "gap", "gmp") and flat:
        raise LayerError(f"{where}: needs an image (channels, height, width), but its input is {_text(shape)}")
    if kind == "dense" and not flat:
        raise LayerError(
            f"{where}: needs a flat input, but its input is {_text(shape)}; put flatten, gap or gmp before it"
        )
    if kind == "conv":
        padding = "same" if arguments["padding"] == "same" else 0
        return nn.Conv2d(shape[0], arguments["filters"], arguments["kernel"], padding=padding, bias=arguments["bias"])
    if kind == "dense":
        return nn.Linear(shape[0], arguments["units"], bias=arguments["bias"])
    if kind == "batch_norm":
        return (BatchNorm1d if flat else BatchNorm2d)(shape[0], **batch_norm)
    if kind == "activation":
        return _activation(arguments["name"], where) or nn.Identity()
    if kind == "pool":
        return nn.MaxPool2d(arguments["size"])
    others = {"dropout": nn.Dropout, "flatten": nn.Flatten, "gap": GlobalAveragePooling, "gmp": GlobalMaxPooling}
    return others[kind](*arguments.values())


def _output_shape(module: nn.Module, shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """Of one image, by running a copy of the module without memory."""
    try:
        return tuple(copy.deepcopy(module).to("meta").eval()(torch.empty(1, *shape, device="meta")).shape[1:])
    except RuntimeError:  # only a window can be too large here
        size = getattr(module, "kernel_size", None)
        window = size if isinstance(size, tuple) else (size, size)
        text = f"a {_text(window)} window does not fit into its input {_text(shape)}"
        raise LayerError(f"{where}: {text}") from None


def rows_of(net: nn.Module) -> list[LayerRow]:
    """The summary of any net: its children in the order in which an image first meets them, with their parameters.

    Of what cannot be run on an image by itself the shapes are unknown.
    """
    found: dict[str, LayerRow] = {}

    def note(module: nn.Module, name: str, output: Any) -> None:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        found.setdefault(name, LayerRow(name, type(module).__name__, shape, *_counts(module)))

    for device in ("meta", "cpu"):  # without memory, unless the net must see numbers
        trial = copy.deepcopy(net).to(device).eval()
        for name, module in trial.named_children():
            module.register_forward_hook(lambda module, _, output, name=name: note(module, name, output))
        with contextlib.suppress(Exception), torch.no_grad():
            trial(torch.zeros(2, *INPUT_SHAPE, device=device))
            break
    for name, module in net.named_children():
        if any(_counts(module)):
            note(module, name, None)
    total, trainable = _counts(net)
    rest = total - sum(row.parameters for row in found.values()), trainable - sum(r.trainable for r in found.values())
    others = [LayerRow("others", type(net).__name__, (), *rest)] if any(rest) or not found else []
    return [*found.values(), *others]


def _counts(module: nn.Module) -> tuple[int, int]:
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    moving = sum(b.numel() for name, b in module.named_buffers() if name.rpartition(".")[2].startswith("running_"))
    return sum(p.numel() for p in module.parameters()) + moving, trainable


def _activation(name: Any, where: str) -> nn.Module | None:
    if name not in ACTIVATIONS:
        raise LayerError(f"{where}: unknown activation {name!r}{nearest(str(name), ACTIVATIONS)}")
    kind = ACTIVATIONS[name]
    return kind() if kind is not None else None


def _short(layer: Any) -> str:
    if isinstance(layer, dict):
        return ", ".join(f"{k}: {v}" for k, v in layer.items())
    return str(layer)


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def stage(widths: Sequence[int], *after: Any, **arguments: Any) -> Iterator[Any]:
    """One `conv` per width, each followed by the layers in `after`."""
    for width in widths:
        yield {"conv": {"filters": width, **arguments}}
        yield from after
