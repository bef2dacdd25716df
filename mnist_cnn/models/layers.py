"""Networks as flat layer lists, in the order a published summary prints them.

A layer is a name (`batch_norm`, `pool`, `flatten`, `gap` and `gmp`: the average and the maximum over the image), or a
name with its main number (`conv: 12`, `dense: 128`, `dropout: 0.1`, `pool: 2`, `activation: sigmoid`), or a name with
all its arguments (`conv: {filters: 10, kernel: 1, padding: same, bias: false, activation: none}`). Convolutions have
stride 1 and no padding unless they say so; `groups: depthwise` gives every channel its own kernel, and convolutions
with the same `share` are one, with one set of weights. `conv` and `dense` are followed by the net's activation, except
the last of them: its output are the logits. `residual: [...]` adds its input to what its layers make of it,
`squeeze_excite: 4` scales each channel by what 4 units see of all.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cnn.errors import LayerError, nearest
from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.models.blocks import GlobalAveragePooling, GlobalMaxPooling, Residual, SqueezeExcite
from mnist_cnn.models.layer_words import parse, short

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU, "none": None,
}  # fmt: skip
INITS = ("pytorch", "glorot_uniform")
KEEP_SHAPE = ("batch_norm", "activation", "dropout", "squeeze_excite", "residual")


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
    if init not in INITS:
        raise LayerError(f"init = {init!r}: unknown{nearest(init, INITS)}")
    _activation(activation, "activation")
    builder = _Builder(activation, init, {"eps": bn_eps, "momentum": bn_momentum, "debias": bn_debias})
    net, shape, rows = builder.build(layers, INPUT_SHAPE, "layer ", ends=True)
    if shape != (classes,):
        raise LayerError(f"the last layer gives {_text(shape)}; needed: {classes} logits, e.g. from flatten or dense")
    return net, rows


@dataclass
class _Builder:
    """What all layers of a net have in common, and the convolutions that later ones may share."""

    activation: str
    init: str
    batch_norm: dict[str, Any]
    shared: dict[str, nn.Conv2d] = field(default_factory=dict)

    def build(
        self, layers: Sequence[Any], shape: tuple[int, ...], place: str, ends: bool
    ) -> tuple[nn.Sequential, tuple[int, ...], list[LayerRow]]:
        """The modules of a list with their rows, and the shape of one image after them.

        Args:
            ends: the last convolution or dense layer gives the logits.
        """
        parsed = [parse(layer, f"{place}{i} ({short(layer)})") for i, layer in enumerate(layers, 1)]
        weighted = [i for i, (kind, _) in enumerate(parsed) if kind in ("conv", "dense")]
        net, rows = nn.Sequential(), []
        for i, (kind, arguments) in enumerate(parsed):
            where = f"{place}{i + 1} ({short(layers[i])})"
            last = ends and i in weighted[-1:]
            follows = arguments.pop("activation", None) or ("none" if last else self.activation)
            if kind == "activation":
                arguments["name"] = arguments["name"] or self.activation
            known = set(map(id, self.shared.values()))
            module = self._module(kind, arguments, shape, where)
            net.append(module)
            if kind in ("conv", "dense") and (after := _activation(follows, where)) is not None:
                net.append(after)
            shape = shape if kind in KEEP_SHAPE else _output_shape(module, shape, where)
            counts = (0, 0) if id(module) in known else _counts(module)
            rows.append(LayerRow(f"{kind}_{i + 1}", type(module).__name__, shape, *counts))
        return net, shape, rows

    def _module(self, kind: str, arguments: dict[str, Any], shape: tuple[int, ...], where: str) -> Any:
        flat = len(shape) == 1
        if kind in ("conv", "pool", "gap", "gmp", "squeeze_excite", "residual") and flat:
            raise LayerError(f"{where}: needs an image (channels, height, width), but its input is {_text(shape)}")
        if kind == "dense" and not flat:
            raise LayerError(
                f"{where}: needs a flat input, but its input is {_text(shape)}; put flatten, gap or gmp before it"
            )
        if kind == "conv":
            return self._conv(arguments, shape[0], where)
        if kind == "dense":
            return self._initialised(nn.Linear(shape[0], arguments["units"], bias=arguments["bias"]))
        if kind == "batch_norm":
            return (BatchNorm1d if flat else BatchNorm2d)(shape[0], **self.batch_norm)
        if kind == "activation":
            return _activation(arguments["name"], where) or nn.Identity()
        if kind == "pool":
            return nn.MaxPool2d(arguments["size"])
        if kind == "squeeze_excite":
            return SqueezeExcite(shape[0], arguments["units"])
        if kind == "residual":
            inner, after, _ = self.build(arguments["layers"], shape, f"{where}: its layer ", ends=False)
            if after != shape:
                raise LayerError(f"{where}: its layers give {_text(after)}, which cannot be added to {_text(shape)}")
            return Residual(inner)
        others = {"dropout": nn.Dropout, "flatten": nn.Flatten, "gap": GlobalAveragePooling, "gmp": GlobalMaxPooling}
        return others[kind](*arguments.values())

    def _conv(self, arguments: dict[str, Any], channels: int, where: str) -> nn.Conv2d:
        filters, kernel, stride = arguments["filters"], arguments["kernel"], arguments["stride"]
        groups = channels if arguments["groups"] == "depthwise" else arguments["groups"]
        if channels % groups or filters % groups:
            raise LayerError(f"{where}: {groups} groups must divide its {channels} channels and its {filters} filters")
        padding: Any = 0 if arguments["padding"] == "valid" else "same" if stride == 1 else (kernel - 1) // 2
        conv = nn.Conv2d(channels, filters, kernel, stride, padding, groups=groups, bias=arguments["bias"])
        name = arguments["share"]
        if name is None:
            return self._initialised(conv)
        first = self.shared.setdefault(name, conv)
        if first is conv:
            return self._initialised(conv)
        if repr(first) != repr(conv):
            raise LayerError(f"{where}: is {conv}, but the first that shares {name!r} is {first}")
        return first

    def _initialised(self, module: Any) -> Any:
        if self.init == "glorot_uniform":
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        return module


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


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def stage(widths: Sequence[int], *after: Any, **arguments: Any) -> Iterator[Any]:
    """One `conv` per width, each followed by the layers in `after`."""
    for width in widths:
        yield {"conv": {"filters": width, **arguments}}
        yield from after
