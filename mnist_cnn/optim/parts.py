"""Which parameters of a net an optimizer gets, and with which options of their own."""

import inspect
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.optim import LBFGS, Optimizer

from mnist_cnn.errors import PartError, nearest


class InParts:
    """An optimizer factory that sorts the parameters of a net; frozen ones are left out.

    Args:
        factory: makes the optimizer from a list of parameters, or of groups where parts differ.
        decay_norms: False takes weight decay from biases and the weights of norms: all with fewer than two dimensions.
        parts: options by the parameters' names, with or without their `net.`, as in `{"net.0.*": {"lr": 0.01}}`; of
            several patterns that fit, the first counts.
    """

    def __init__(
        self,
        factory: Callable[..., Optimizer],
        decay_norms: bool = True,
        parts: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.factory, self.decay_norms, self.parts = factory, decay_norms, parts or {}
        self.__signature__ = inspect.signature(factory)

    def __call__(self, named: Iterable[tuple[str, nn.Parameter]], **options: Any) -> Optimizer:
        """The optimizer for `nn.Module.named_parameters()`.

        Raises:
            PartError: a part that no parameter belongs to.
        """
        trained = [(name, parameter) for name, parameter in named if parameter.requires_grad]
        if self.decay_norms and not self.parts:
            return self.factory([parameter for _, parameter in trained], **options)
        groups: dict[tuple[str, bool], list[nn.Parameter]] = {("", False): []}
        for name, parameter in trained:
            both = name, name.removeprefix("net.")
            part = next((pattern for pattern in self.parts if any(fnmatchcase(n, pattern) for n in both)), "")
            groups.setdefault((part, not self.decay_norms and parameter.ndim < 2), []).append(parameter)
        if unused := set(self.parts) - {part for part, _ in groups}:
            pattern = min(unused)
            names = [name for name, _ in trained]
            raise PartError(f"parts.{pattern}: no trained parameter left with such a name{nearest(pattern, names)}")
        made = [
            {"params": parameters, **self.parts.get(part, {}), **({"weight_decay": 0.0} if bare else {})}
            for (part, bare), parameters in groups.items()
            if parameters
        ]
        return self.factory(made, **options)


def flattens(factory: Callable[..., Any], net: nn.Module) -> bool:
    """Whether an optimizer views every gradient as one row, which takes them in PyTorch's usual memory order."""
    made = factory.factory if isinstance(factory, InParts) else factory
    kind = getattr(made, "func", made)
    return issubclass(kind, LBFGS) if inspect.isclass(kind) else isinstance(factory(net.named_parameters()), LBFGS)


def learning_rate(optimizers: Iterable[Optimizer]) -> float | None:
    """Of the first group of weights; a module may have several optimizers, or none."""
    return next((group["lr"] for optimizer in optimizers for group in optimizer.param_groups), None)


def can_fuse(factory: Callable[..., Any]) -> bool:
    """Whether an optimizer has a fused form, and nothing was chosen that it does not go with."""
    options = inspect.signature(factory).parameters
    chosen = [name for name in ("foreach", "differentiable") if name in options and options[name].default]
    return "fused" in options and options["fused"].default is None and not chosen
