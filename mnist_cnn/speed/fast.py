"""Runs a net on a CPU by the package's own kernels, and by PyTorch's layers what they cannot do.

Same function, gradient and state as the layers, which stay as they are: rounding differs, and each step seeds the masks
of its dropout from PyTorch's global generator.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.models.layers import GlobalAveragePooling
from mnist_cnn.speed import work
from mnist_cnn.speed.program import Address, Place, Program, Works
from mnist_cnn.speed.steps import Around, Buffers, Convolve, Flatten, Pool, Size, Step, Steps
from mnist_cnn.speed.tiles import VECTOR
from mnist_cnn.speed.work import Kernel

LARGEST_DENSE = 2**15  # weights; PyTorch's matrix products are better for more
KEPT_PLANS = 4  # of a stretch: for the batches of training, and the last, short one


class _Plan:
    """Forward and backward lists of some steps, for one number of images, and the numbers they leave each other."""

    def __init__(self, steps: Sequence[Step], like: "_Like") -> None:
        self.images, self.dtype, self.used = like.images, like.dtype, 0
        forward, backward = Works(like.dtype), Works(like.dtype)
        sizes = _sizes(steps, like.size)
        self.size, self.output_size = like.size, sizes[-1]
        buffers = Buffers(backward, max(map(_count, sizes)) * like.images)
        made = Steps(like.images, like.dtype, True, forward, backward, buffers)
        x, backs = _begin(forward, like), []
        working = [i for i, step in enumerate(steps) if not isinstance(step, Flatten)]
        for i in working:
            y: Address = Place("output") if i == working[-1] else forward.new(_count(sizes[i + 1]), like.images)
            input_gradient: Address | None = Place("input_gradient") if like.asked else None
            step: Any = steps[i]
            backs.append(step.add(made, x, y, sizes[i], input_gradient if i == working[0] else 0))
            x = y
        gradient: Any = Place("given")
        for back in reversed(backs):
            gradient = back(gradient)
        self.forward, self.backward = Program(forward), Program(backward)
        self.words, self.parameters = made.words, made.parameters
        self.counts = [parameter.numel() for parameter in self.parameters]


class _Through(torch.autograd.Function):
    """(N, ...) through the steps of a plan."""

    @staticmethod
    def forward(context: Any, stretch: "_Stretch", plan: _Plan, input: Tensor, *parameters: Tensor) -> Tensor:
        words = torch.randint(2**32, (plan.words,)).tolist() if plan.words else []
        output = torch.empty(*plan.output_size, plan.images, dtype=plan.dtype)
        plan.used += 1
        plan.forward.run(input=input.data_ptr(), output=output.data_ptr(), words=words)
        context.save_for_backward(input, *parameters)  # PyTorch then notices changes in place
        context.rest = stretch, plan, plan.used, output, words
        return output.movedim(-1, 0)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, *parameters = context.saved_tensors
        stretch, plan, used, output, words = context.rest
        if used != plan.used:
            raise RuntimeError("backward a second time, after another forward: only speed.fused_layers=false can")
        given = gradients[0].movedim(0, -1).contiguous()
        numbers = torch.empty(sum(plan.counts), dtype=plan.dtype)
        dx = torch.empty(*plan.size, plan.images, dtype=plan.dtype) if context.needs_input_grad[2] else None
        plan.backward.run(
            input=input.data_ptr(), output=output.data_ptr(), given=given.data_ptr(), words=words,
            gradients=numbers.data_ptr(), input_gradient=0 if dx is None else dx.data_ptr(),
        )  # fmt: skip
        if plan not in stretch.free:
            stretch.free.append(plan)
        found = [part.view_as(p) for part, p in zip(numbers.split(plan.counts), parameters, strict=True)]
        return None, None, None if dx is None else dx.movedim(-1, 0), *found


@dataclass(frozen=True)
class _Like:
    """What a plan is for.

    Args:
        turned: the images do not lie side by side yet.
        asked: the gradient of the input is wanted.
        addresses: of the weights and the moving averages.
    """

    size: Size
    images: int
    dtype: torch.dtype
    turned: bool
    asked: bool
    addresses: tuple[int, ...]


class _Stretch:
    """Steps that follow each other without a layer of PyTorch's between them."""

    def __init__(self, steps: Sequence[Step], modules: Sequence[nn.Module]) -> None:
        self.steps = steps
        self.norms = [module for module in modules if isinstance(module, BatchNorm1d | BatchNorm2d)]
        self.numbers: list[Tensor] = [*itertools.chain.from_iterable(m.parameters() for m in modules)]
        self.numbers += itertools.chain.from_iterable((norm.running_mean, norm.running_var) for norm in self.norms)
        self.plans: list[tuple[_Like, _Plan]] = []
        self.free: list[_Plan] = []

    def __call__(self, x: Tensor, training: bool) -> Tensor:
        lies = x.movedim(0, -1).is_contiguous()
        x = x if lies else x.contiguous()
        addresses = tuple([number.data_ptr() for number in self.numbers])
        like = _Like(tuple(x.shape[1:]), len(x), x.dtype, not lies, x.requires_grad, addresses)
        if not training:
            return self._evaluate(x, like)
        for norm in self.norms:
            norm.forget_start()
            norm.num_batches_tracked.add_(1)
        plan = self._plan(like)
        return _Through.apply(self, plan, x, *plan.parameters)

    def _plan(self, like: _Like) -> _Plan:
        for known, plan in self.plans:
            if plan in self.free and known == like:
                self.free.remove(plan)
                return plan
        plan = _Plan(self.steps, like)
        self.plans = [*self.plans, (like, plan)][-KEPT_PLANS:]
        return plan

    def _evaluate(self, x: Tensor, like: _Like) -> Tensor:
        works, sizes = Works(x.dtype), _sizes(self.steps, like.size)
        buffers = Buffers(works, max(map(_count, sizes)) * like.images)
        made = Steps(like.images, x.dtype, False, works, works, buffers)
        here = _begin(works, like)
        working = [i for i, step in enumerate(self.steps) if not isinstance(step, Flatten)]
        for i in working:
            there: Address = Place("output") if i == working[-1] else buffers.other(here)
            step: Any = self.steps[i]
            step.add(made, here, there, sizes[i], None)
            here = there
        output = torch.empty(*sizes[-1], like.images, dtype=x.dtype)
        Program(works).run(input=x.data_ptr(), output=output.data_ptr())
        return output.movedim(-1, 0)


class FastNet:
    """Calls a flat net: `FastNet()(net, images)` for `net(images)`.

    PyTorch's own layers do it in compiled graphs, in mixed precision, with fewer images than a vector has numbers,
    elsewhere than on a CPU, where hooks are to see each layer, and for gradients in evaluation.
    """

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.parts: list[_Stretch | nn.Module] = []

    def __deepcopy__(self, memo: Any) -> "FastNet":
        return FastNet()

    def __reduce__(self) -> Any:
        return FastNet, ()

    def __call__(self, net: nn.Module, images: Tensor) -> Tensor:
        modules = list(net.children())
        if net.training != torch.is_grad_enabled() or not _usable(images) or any(map(_watched, (net, *modules))):
            return net(images)
        if any(module.training != net.training for module in modules):
            return net(images)
        if modules != self.modules:
            self.modules, self.parts = modules, _parts(modules, images.dtype)
        for part in self.parts:
            images = part(images, net.training) if isinstance(part, _Stretch) else part(images)
        return images


def _usable(x: Tensor) -> bool:
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or torch.compiler.is_compiling():
        return False
    return len(x) * x.element_size() >= VECTOR and not torch.is_autocast_enabled("cpu")


def _watched(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks)


def _parts(modules: Sequence[nn.Module], dtype: torch.dtype) -> list[_Stretch | nn.Module]:
    """Raises nothing: what no step can do stays as it is."""
    parts: list[_Stretch | nn.Module] = []
    steps: list[Step] = []
    taken: list[nn.Module] = []

    def end() -> None:
        nonlocal steps, taken
        if any(not isinstance(step, Flatten) for step in steps):
            parts.append(_Stretch(steps, taken))
        else:
            parts.extend(taken)
        steps, taken = [], []

    i = 0
    while i < len(modules):
        step, count = _step(modules, i, dtype)
        if step is None:
            end()
            parts.append(modules[i])
        else:
            steps.append(step)
            taken.extend(modules[i : i + count])
        i += count
    end()
    return parts


def _step(modules: Sequence[nn.Module], i: int, dtype: torch.dtype) -> tuple[Step | None, int]:
    """What begins at a module, and how many modules it stands for."""
    kinds = [type(module) for module in modules[i:]] + [None] * 3
    module: Any = modules[i]
    if any(parameter.dtype != dtype for parameter in module.parameters()):
        return None, 1
    if kinds[0] in (nn.Conv2d, nn.Linear):
        dense = kinds[0] is nn.Linear
        if module.weight.numel() > LARGEST_DENSE if dense else not _plain(module):
            return None, 1
        relu = kinds[1] is nn.ReLU and kinds[2] not in (nn.MaxPool2d, nn.Dropout, BatchNorm1d, BatchNorm2d)
        return Convolve(module, relu), 1 + relu
    before = kinds[0] is nn.ReLU
    if before and kinds[1] is nn.MaxPool2d:  # the same function and gradient in the other order
        return Pool(modules[i + 1].kernel_size, True), 2  # type: ignore[arg-type]
    if kinds[0] is nn.MaxPool2d:
        return Pool(module.kernel_size, kinds[1] is nn.ReLU), 1 + (kinds[1] is nn.ReLU)
    if kinds[before] in (BatchNorm1d, BatchNorm2d):
        norm: Any = modules[i + before]
        if norm.weight.dtype != dtype:
            return None, 1
        after = kinds[before + 1] is nn.ReLU and kinds[before + 2] is not nn.MaxPool2d
        last = before + 1 + after
        rate: Any = modules[i + last].p if kinds[last] is nn.Dropout else None
        return Around(before, after, rate or 0.0, norm), last + (rate is not None)
    if kinds[before] is nn.Dropout:
        dropout: Any = modules[i + before]
        return Around(relu_before=before, rate=dropout.p), 1 + before
    if before:
        return Around(relu_before=True), 1
    if kinds[0] is GlobalAveragePooling:
        return Pool(0), 1
    if kinds[0] in (nn.Flatten, nn.Identity):
        return (Flatten() if kinds[0] is nn.Flatten else Around()), 1
    return None, 1


def _plain(conv: nn.Conv2d) -> bool:
    ones = conv.stride == (1, 1) and conv.dilation == (1, 1) and conv.groups == 1 and conv.weight.is_contiguous()
    return ones and conv.padding in ("same", "valid", (0, 0))


def _sizes(steps: Sequence[Step], size: Size) -> list[Size]:
    return list(itertools.accumulate(steps, lambda size, step: step.size(size), initial=size))


def _begin(works: Works, like: _Like) -> Address:
    """Where the input lies as the kernels need it."""
    if not like.turned:
        return Place("input")
    numbers = _count(like.size)
    turned = works.new(numbers, like.images)
    works.add(Kernel.TURN, min(16, numbers), work.Turn(like.images, numbers, Place("input"), turned))
    return turned


def _count(size: Size) -> int:
    return int(np.prod(size))
