"""The layers of any net in the order in which they work: shapes, cost, and how much of the image each place sees."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cnn.models.layers import INPUT_SHAPE

SIDE = INPUT_SHAPE[1]
AT_ONCE = 56  # images with a marked pixel


@dataclass(frozen=True)
class Inspected:
    """A layer.

    Args:
        shape: of its output, (channels, height, width) or (units,).
        parameters: those that no layer before has; none where one is used again.
        multiply_adds: for one image, of convolutions and dense layers; what the others take is little beside it.
        sees: rows and columns of the image that a place in the middle of its output depends on, at most 28.
        stride: pixels of the image from one place to the next; None for one place, or where all see the whole image.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    sees: tuple[int, int]
    stride: int | None


def inspected_layers(net: nn.Module) -> list[Inspected]:
    """Found by running the net: a pixel that is not a number makes every place that depends on it no number either.

    So it holds for branches and detours as well, which no formula for a chain of layers does.

    Args:
        net: in evaluation mode; from (N, 1, 28, 28).
    """
    exact = copy.deepcopy(net).double()  # in double precision PyTorch convolves straight, without transforms
    found: dict[str, tuple[nn.Module, Tensor, Tensor]] = {}
    reached: dict[str, list[Tensor]] = {}

    def keep(name: str, module: nn.Module, given: Tensor, output: Tensor) -> None:
        found.setdefault(name, (module, given, output))
        reached.setdefault(name, []).append(_middle(output).isnan())

    with watched(exact, keep), torch.inference_mode():
        for start in range(0, SIDE * SIDE, AT_ONCE):
            images = torch.zeros(AT_ONCE, 1, SIDE, SIDE, dtype=torch.double)
            images.view(AT_ONCE, -1)[torch.arange(AT_ONCE), torch.arange(start, start + AT_ONCE)] = torch.nan
            exact(images)
    counted: set[Tensor] = set()
    return [_row(name, *found[name], torch.cat(reached[name]), counted) for name in found]


def multiply_adds(net: nn.Module) -> int:
    """Of all convolutions and dense layers, for one image, each time it meets them.

    Args:
        net: in evaluation mode; from (N, 1, 28, 28).
    """
    found: list[int] = []
    with watched(net, lambda _, *layer: found.append(_multiply_adds(*layer))), torch.inference_mode():
        net(torch.zeros(1, 1, SIDE, SIDE))
    return sum(found)


@contextmanager
def watched(net: nn.Module, keep: Callable[[str, nn.Module, Tensor, Tensor], None]) -> Iterator[None]:
    """Calls `keep` with name, module, input and output of each layer without layers of its own, while the net runs.

    A layer that an image meets more than once has a name for each time: `3`, `3 (use 2)`.
    """
    uses: Counter[str] = Counter()

    def hook(name: str) -> Any:
        def called(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            uses[name] += 1
            if isinstance(output, Tensor) and given and isinstance(given[0], Tensor):
                keep(name if uses[name] == 1 else f"{name} (use {uses[name]})", module, given[0], output)

        return called

    leaves = [(name, module) for name, module in net.named_modules() if not list(module.children())]
    hooks = [net.register_forward_pre_hook(lambda *_: uses.clear())]
    hooks += [module.register_forward_hook(hook(name)) for name, module in leaves]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def _middle(output: Tensor) -> Tensor:
    """(N, 2, 2): a place in the middle and its neighbours; all the same where there is no place."""
    if output.ndim != 4:
        return output.flatten(1).sum(1)[:, None, None].expand(-1, 2, 2)
    row, column = ((side - 1) // 2 for side in output.shape[2:])
    rows, columns = ([at, min(at + 1, side - 1)] for at, side in zip((row, column), output.shape[2:], strict=True))
    return output.sum(1)[:, rows][:, :, columns]


def _row(
    name: str, module: nn.Module, given: Tensor, output: Tensor, depends: Tensor, counted: set[Tensor]
) -> Inspected:
    shape = tuple(output.shape[1:])
    places = depends.view(SIDE, SIDE, 2, 2)
    rows, columns = places[:, :, 0, 0].any(1).nonzero(), places[:, :, 0, 0].any(0).nonzero()
    sees = tuple(int(found.max() - found.min()) + 1 if len(found) else 0 for found in (rows, columns))
    below = places[:, :, 1, 0].any(1).nonzero()
    stride = None
    if len(shape) == 3 and shape[1] > 1 and len(rows) and len(below):
        stride = int(max(below.max() - rows.max(), below.min() - rows.min())) or None
    own = sum(parameter.numel() for parameter in module.parameters() if parameter not in counted)
    counted.update(module.parameters())
    return Inspected(name, type(module).__name__, shape, own, _multiply_adds(module, given, output), sees, stride)  # type: ignore[arg-type]


def _multiply_adds(module: nn.Module, given: Tensor, output: Tensor) -> int:
    if isinstance(module, nn.modules.conv._ConvNd):
        return output[0].numel() * (module.in_channels // module.groups) * module.weight[0, 0].numel()
    if isinstance(module, nn.Linear):
        return output[0].numel() * module.in_features
    return 0
