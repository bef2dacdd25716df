"""Adam as Keras computes it."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Adam


class KerasAdam(Adam):
    """Adam with eps where Keras has it: added to the root of the uncorrected second moment.

    In PyTorch's terms eps is larger in the first few thousand steps, by 1 / sqrt(1 - beta2 ** step). Only gradients
    around eps notice. Kingma and Ba, Adam, 2015, section 2: the epsilon hat.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        stated = [group["eps"] for group in self.param_groups]
        for group in self.param_groups:
            taken = self.state.get(group["params"][0], {}).get("step", 0)
            group["eps"] /= math.sqrt(1 - group["betas"][1] ** (float(taken) + 1))
        try:
            return super().step(closure)
        finally:
            for group, eps in zip(self.param_groups, stated, strict=True):
                group["eps"] = eps
