"""Runs a net on a CPU by the package's own kernels, and by PyTorch's layers what they cannot do.

Same function, gradient and state as the layers, which stay as they are: rounding differs, and each step seeds the masks
of its dropout from PyTorch's global generator.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.models.blocks import GlobalAveragePooling
from mnist_cnn.speed.convolution import Convolve, padding
from mnist_cnn.speed.depthwise import Depthwise
from mnist_cnn.speed.lists import Step
from mnist_cnn.speed.plans import Stretch
from mnist_cnn.speed.steps import Around, Flatten, Pool
from mnist_cnn.speed.team import compile_kernels
from mnist_cnn.speed.tiles import VECTOR
from mnist_cnn.speed.work import After

LARGEST_DENSE = 2**15  # weights; PyTorch's matrix products are better for more
NORMS = BatchNorm1d, BatchNorm2d
AFTER: dict[Any, After] = {nn.ReLU: After.RELU, nn.SiLU: After.SILU}


class FastNet:
    """Calls a flat net: `FastNet()(net, images)` for `net(images)`.

    PyTorch's own layers do it in compiled graphs, in mixed precision, with fewer images than a vector has numbers,
    elsewhere than on a CPU, where hooks are to see each layer, and for gradients in evaluation.
    """

    def __init__(self) -> None:
        self.known: list[Any] = []
        self.parts: list[Stretch | nn.Module] = []

    def __deepcopy__(self, memo: Any) -> "FastNet":
        return FastNet()

    def __reduce__(self) -> Any:
        return FastNet, ()

    def __call__(self, net: nn.Module, images: Tensor) -> Tensor:
        if type(net) is not nn.Sequential:
            return net(images)
        modules = list(net)  # one that stands there twice comes twice, other than in `children`
        if net.training != torch.is_grad_enabled() or not _usable(images) or any(map(_watched, (net, *modules))):
            return net(images)
        if any(module.training != net.training for module in modules):
            return net(images)
        known = [(module, getattr(module, "p", None), getattr(module, "momentum", None)) for module in modules]
        if known != self.known:
            self.known, self.parts = known, _parts(modules)
        for part in self.parts:
            images = part(images, net.training) if isinstance(part, Stretch) else part(images)
        return images

    @staticmethod
    def prepare() -> None:
        """Compiles the kernels, once on a machine, so that no step waits for them."""
        compile_kernels(torch.float32)


def _usable(x: Tensor) -> bool:
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or torch.compiler.is_compiling():
        return False
    return len(x) * x.element_size() >= VECTOR and not torch.is_autocast_enabled("cpu")


def _watched(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks)


def _parts(modules: Sequence[nn.Module]) -> list[Stretch | nn.Module]:
    """What no step can do stays as it is."""
    parts: list[Stretch | nn.Module] = []
    steps: list[Step | Flatten] = []
    taken: list[nn.Module] = []

    def end() -> None:
        nonlocal steps, taken
        if any(not isinstance(step, Flatten) for step in steps):
            parts.append(Stretch(steps, taken))
        else:
            parts.extend(taken)
        steps, taken = [], []

    i = 0
    while i < len(modules):
        step, count = _step(modules, i)
        if step is None:
            end()
            parts.append(modules[i])
        else:
            steps.append(step)
            taken.extend(modules[i : i + count])
        i += count
    end()
    return parts


def _step(modules: Sequence[nn.Module], i: int) -> tuple[Step | Flatten | None, int]:
    """What begins at a module, and how many modules it stands for."""
    kinds = [type(module) for module in modules[i:]] + [None] * 3
    module: Any = modules[i]
    if kinds[0] is nn.Conv2d and module.groups == module.in_channels == module.out_channels > 1:
        return (Depthwise(module) if _convolves(module) else None), 1
    if kinds[0] in (nn.Conv2d, nn.Linear):
        dense = kinds[0] is nn.Linear
        if module.weight.numel() > LARGEST_DENSE if dense else module.groups > 1 or not _convolves(module):
            return None, 1
        relu = kinds[1] is nn.ReLU and kinds[2] not in (nn.MaxPool2d, nn.Dropout, *NORMS)
        return Convolve(module, relu), 1 + relu
    before = kinds[0] is nn.ReLU
    if kinds[before] is nn.MaxPool2d:  # with a ReLU before it: the same function and gradient in the other order
        window = _window(modules[i + before])
        if window:
            relu = before or kinds[1] is nn.ReLU
            return Pool(window, relu), 1 + relu
    if kinds[before] in NORMS:
        norm: Any = modules[i + before]
        after = AFTER.get(kinds[before + 1], After.NONE)
        if after == After.RELU and kinds[before + 2] is nn.MaxPool2d:
            after = After.NONE
        last = before + 1 + (after != After.NONE)
        drops = kinds[last] is nn.Dropout and _drops(modules[i + last])
        rate: Any = modules[i + last].p if drops else 0.0
        return Around(before, after, rate, norm), last + drops
    if kinds[before] is nn.Dropout and _drops(modules[i + before]):
        rate = modules[i + before].p
        return Around(relu_before=before, rate=rate), 1 + before
    if before:
        return Around(relu_before=True), 1
    if kinds[0] is nn.SiLU:
        return Around(after=After.SILU), 1
    if kinds[0] is GlobalAveragePooling:
        return Pool(0), 1
    if kinds[0] is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return Flatten(), 1
    return None, 1


def _convolves(conv: nn.Conv2d) -> bool:
    """By strides and paddings that the kernels know."""
    ones = conv.stride == (1, 1) and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    return ones and all(max(p) < k for p, k in zip(padding(conv), conv.kernel_size, strict=True))


def _window(pool: Any) -> int:
    """Of windows that are square, side by side and within the image; 0 for all others."""
    given = [pool.kernel_size, pool.stride, pool.padding, pool.dilation]
    pairs = [(value, value) if isinstance(value, int) else tuple(value) for value in given]
    kernel = pairs[0]
    plain = pairs == [kernel, kernel, (0, 0), (1, 1)] and not pool.ceil_mode and not pool.return_indices
    return kernel[0] if plain and kernel[0] == kernel[1] else 0


def _drops(dropout: Any) -> bool:
    return dropout.p < 1
