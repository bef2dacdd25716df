"""Adam and AdamW by numbers that lie on the device, so that a recorded step follows the schedule."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer


class DeviceAdam:
    """The step of PyTorch's fused Adam or AdamW: same state, same result up to rounding.

    PyTorch's own takes beta1 as a Python number, which a recorded step would keep for ever, and one_cycle changes it.
    Here all numbers of a step are worked out in Python and sent to the device before it.

    Args:
        optimizer: one that `suits`; takes a step with gradients of zero.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.decoupled = isinstance(optimizer, AdamW)
        [weight, *_] = optimizer.param_groups[0]["params"]
        self.numbers = torch.zeros(len(optimizer.param_groups), 7, dtype=weight.dtype, device=weight.device)
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        optimizer.step()  # makes the state where there is none, which a graph must not
        self.count()

    def count(self) -> None:
        """Reads how many steps were taken, when the state has become another one."""
        self.taken = int(max(float(state["step"]) for state in self.optimizer.state.values()))

    @staticmethod
    def suits(optimizer: Optimizer) -> bool:
        plain = ("amsgrad", "maximize", "differentiable")
        return type(optimizer) in (Adam, AdamW) and all(
            group["fused"] and not isinstance(group["lr"], Tensor) and not any(group[name] for name in plain)
            for group in optimizer.param_groups
        )

    def send(self) -> None:
        """Before each step: its numbers. What lies in pageable memory is copied away at once, without waiting."""
        self.taken += 1
        rows = [self._row(group) for group in self.optimizer.param_groups]
        self.numbers.copy_(torch.tensor(rows, dtype=self.numbers.dtype), non_blocking=True)

    def _row(self, group: dict[str, Any]) -> list[float]:
        (beta1, beta2), rate, decay = group["betas"], group["lr"], group["weight_decay"]
        correction1, correction2 = 1 - beta1**self.taken, 1 - beta2**self.taken
        shrinking = 1 - rate * decay if self.decoupled else decay
        scale = correction2**0.5
        # m / correction1 * rate / (sqrt(v / correction2) + eps), with the root of correction2 drawn out of the divisor
        return [shrinking, beta1, 1 - beta1, beta2, 1 - beta2, group["eps"] * scale, -rate * scale / correction1]

    @torch.no_grad()
    def step(self) -> None:
        """To be recorded: changes weights and state in place, by the gradients at hand."""
        for group, row in zip(self.optimizer.param_groups, self.numbers, strict=True):
            weights = [parameter for parameter in group["params"] if parameter.grad is not None]
            shrinking, beta1, rest1, beta2, rest2, eps, rate = row.unbind()
            gradients = [parameter.grad for parameter in weights]
            states = [self.optimizer.state[parameter] for parameter in weights]
            first, second = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq"))
            torch._foreach_add_([state["step"] for state in states], 1)
            if self.decoupled:
                torch._foreach_mul_(weights, shrinking)
            else:
                gradients = list(torch._foreach_add(gradients, torch._foreach_mul(weights, shrinking)))
            torch._foreach_mul_(first, beta1)
            torch._foreach_add_(first, torch._foreach_mul(gradients, rest1))
            torch._foreach_mul_(second, beta2)
            torch._foreach_add_(second, torch._foreach_mul(torch._foreach_mul(gradients, gradients), rest2))
            divisors = torch._foreach_sqrt(second)
            torch.ops.aten._foreach_add_.Tensor(divisors, eps)  # by its short name eps would be asked for its number
            torch._foreach_add_(weights, torch._foreach_mul(torch._foreach_div(first, divisors), rate))
