"""Stretches of a net that the package's own kernels run: a plan for each number of images, used again in every step."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.speed import work
from mnist_cnn.speed.lists import ANYWHERE, Back, Buffers, Lists, Size, Step, count
from mnist_cnn.speed.program import Address, Place, Program, Works
from mnist_cnn.speed.steps import Flatten
from mnist_cnn.speed.work import Kernel

KEPT = 4  # plans of a stretch: for the batches of training, and the last, short one
Steps = Sequence[Step | Flatten]


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


class _Plan:
    """Forward and backward lists of some steps, and the numbers they leave each other.

    Args:
        training: else there is no way back, and less to keep.
    """

    def __init__(self, steps: Steps, like: _Like, training: bool) -> None:
        self.images, self.dtype, self.size = like.images, like.dtype, like.size
        self.used, self.busy = 0, True
        forward, backward = Works(like.dtype), Works(like.dtype)
        sizes = list(itertools.accumulate(steps, lambda size, step: step.size(size), initial=like.size))
        self.output_size = sizes[-1]
        largest = max(map(count, sizes)) * like.images
        kept = None if training else Buffers(forward, largest)
        lists = Lists(like.images, like.dtype, training, forward, backward, Buffers(backward, largest))
        wanted: Address | None = Place("input_gradient") if like.asked else None
        x, backs = _begin(forward, like), list[Back]()
        last = max(i for i, step in enumerate(steps) if not isinstance(step, Flatten))
        for i, step in enumerate(steps):
            if isinstance(step, Flatten):
                continue
            y: Address = Place("output")
            if i < last:
                y = forward.new(count(sizes[i + 1]), like.images) if kept is None else kept.other(x)
            backs.append(step.add(lists, x, y, sizes[i], ANYWHERE if backs else wanted))
            x = y
        if training:
            gradient: Address | None = Place("given")
            for back in reversed(backs):
                assert gradient is not None, "only the first step has no gradient to give"
                gradient = back(gradient)
        self.forward, self.backward = Program(forward), Program(backward)
        self.words, self.parameters = lists.words, lists.parameters
        self.counts = [parameter.numel() for parameter in self.parameters]

    def output(self) -> Tensor:
        return torch.empty(*self.output_size, self.images, dtype=self.dtype)


class _Through(torch.autograd.Function):
    """(N, ...) through the steps of a plan."""

    @staticmethod
    def forward(context: Any, plan: _Plan, input: Tensor, *parameters: Tensor) -> Tensor:
        words = torch.randint(2**32, (plan.words,)).tolist() if plan.words else []
        output = plan.output()
        plan.used += 1
        plan.forward.run(input=input.data_ptr(), output=output.data_ptr(), words=words)
        context.save_for_backward(input, *parameters)  # PyTorch then notices changes in place
        context.rest = plan, plan.used, output, words
        return output.movedim(-1, 0)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, *parameters = context.saved_tensors
        plan, used, output, words = context.rest
        if used != plan.used:
            raise RuntimeError("backward a second time, after another forward: only speed.fused_layers=false can")
        given = gradients[0].movedim(0, -1).contiguous()
        numbers = torch.empty(sum(plan.counts), dtype=plan.dtype)
        dx = torch.empty(*plan.size, plan.images, dtype=plan.dtype) if context.needs_input_grad[1] else None
        plan.backward.run(
            input=input.data_ptr(), output=output.data_ptr(), given=given.data_ptr(), words=words,
            gradients=numbers.data_ptr(), input_gradient=0 if dx is None else dx.data_ptr(),
        )  # fmt: skip
        plan.busy = False
        found = [part.view_as(p) for part, p in zip(numbers.split(plan.counts), parameters, strict=True)]
        return None, None if dx is None else dx.movedim(-1, 0), *found


class Stretch:
    """Steps that follow each other without a layer of PyTorch's between them.

    Args:
        modules: what the steps stand for; they run themselves where the steps do not fit.
    """

    def __init__(self, steps: Steps, modules: Sequence[nn.Module]) -> None:
        self.steps, self.modules = steps, modules
        self.norms = [module for module in modules if isinstance(module, BatchNorm1d | BatchNorm2d)]
        self.numbers: list[Tensor] = [*itertools.chain.from_iterable(m.parameters() for m in modules)]
        self.numbers += itertools.chain.from_iterable((norm.running_mean, norm.running_var) for norm in self.norms)
        self.plans: list[tuple[_Like, _Plan | None]] = []

    def __call__(self, x: Tensor, training: bool) -> Tensor:
        lies = x.movedim(0, -1).is_contiguous()
        given, x = x, x if lies else x.contiguous()
        addresses = tuple([number.data_ptr() for number in self.numbers])
        like = _Like(tuple(x.shape[1:]), len(x), x.dtype, not lies, x.requires_grad, addresses)
        plan = self._plan(like) if training else self._new(like, training)
        if plan is None:
            for module in self.modules:
                given = module(given)
            return given
        if not training:
            output = plan.output()
            plan.forward.run(input=x.data_ptr(), output=output.data_ptr())
            return output.movedim(-1, 0)
        for norm in self.norms:
            norm.forget_start()
            norm.num_batches_tracked.add_(1)
        given = _Through.apply(plan, x, *plan.parameters)
        plan.busy = given.requires_grad  # of frozen layers no backward comes
        return given

    def _plan(self, like: _Like) -> _Plan | None:
        """One that no backward waits for; None where the steps do not fit."""
        for known, plan in self.plans:
            if known == like and not (plan and plan.busy):
                if plan:
                    plan.busy = True
                return plan
        plan = self._new(like, True)
        self.plans = [*self.plans, (like, plan)][-KEPT:]
        return plan

    def _new(self, like: _Like, training: bool) -> _Plan | None:
        for number in self.numbers:
            if number.dtype != like.dtype or number.device.type != "cpu" or not number.is_contiguous():
                return None
        size = like.size
        for step in self.steps:
            if not step.fits(size):
                return None
            size = step.size(size)
        return _Plan(self.steps, like, training)


def _begin(works: Works, like: _Like) -> Address:
    """Where the input lies as the kernels need it."""
    if not like.turned:
        return Place("input")
    numbers = count(like.size)
    turned = works.new(numbers, like.images)
    works.add(Kernel.TURN, min(16, numbers), work.Turn(like.images, numbers, Place("input"), turned))
    return turned
