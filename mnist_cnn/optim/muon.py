"""Muon for a whole convolutional net: one optimizer, so that Lightning, schedules and checkpoints see only one."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from mnist_cnn.values import Count, NotNegative, Positive, Share

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic whose slope at 0 is steepest
SMALLEST = 1e-7


class Muon(Optimizer):
    """Momentum whose steps are made orthogonal for matrices, AdamW for all with fewer than two dimensions.

    `torch.optim.Muon` takes matrices alone. Here a convolution's weights count as the matrix of its output channels by
    all the rest. A schedule scales both rates. Jordan et al., Muon, 2024, https://kellerjordan.github.io/posts/muon/

    Args:
        params: parameters, or groups with options of their own.
        lr: of the matrices; a step turns a matrix by about lr whatever its gradient's size.
        adamw_lr: of all else.
        weight_decay: of both, decoupled: weights shrink by rate * weight_decay a step.
        momentum: of the matrices, in Nesterov's form.
        ns_steps: of the Newton-Schulz iteration.
        betas, eps: AdamW's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Positive,
        adamw_lr: Positive,
        weight_decay: NotNegative,
        momentum: Share,
        ns_steps: Count,
        betas: tuple[Share, Share],
        eps: Positive,
    ) -> None:
        given = list(params)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        options = {"lr": lr, "adamw_lr": adamw_lr, "weight_decay": weight_decay, "betas": betas, "eps": eps}
        matrices: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for group in groups:
            own: dict[str, Any] = options | {"momentum": momentum, "ns_steps": ns_steps} | group
            flat = [p for p in own["params"] if p.ndim < 2]
            wide = [p for p in own["params"] if p.ndim >= 2]
            if wide:
                kept = {name: own[name] for name in ("lr", "weight_decay", "momentum", "ns_steps")}
                matrices.append({"params": wide, "matrices": True} | kept)
            if flat:
                kept = {name: own[name] for name in ("weight_decay", "betas", "eps")}
                others.append({"params": flat, "matrices": False, "lr": own["adamw_lr"]} | kept)
        self._others = AdamW(others) if others else None
        if self._others is not None:  # with all that AdamW puts into them
            others = self._others.param_groups
        super().__init__([*matrices, *others], {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["matrices"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._turn(parameter, parameter.grad, group)
        if self._others is not None:  # anew each time: loading a checkpoint replaces both
            self._others.param_groups = [group for group in self.param_groups if not group["matrices"]]
            self._others.state = self.state
            self._others.step()
        return loss

    def _turn(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum, lr = group["momentum"], group["lr"]
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        matrix = gradient.lerp(buffer, momentum).flatten(1)
        rows, columns = matrix.shape
        parameter.mul_(1 - lr * group["weight_decay"])
        step = orthogonal(matrix, group["ns_steps"]).view(parameter.shape)
        parameter.add_(step, alpha=-lr * max(1, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor, steps: int) -> Tensor:
    """The nearest matrix with orthogonal rows or columns, nearly: its singular values lie between 0.5 and 1.5.

    A few steps of Newton-Schulz, in float32: PyTorch's own takes bfloat16, which a CPU is slower at.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / x.norm().clamp(min=SMALLEST)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)
