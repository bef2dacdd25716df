"""How large activations and gradients are in each layer: whether a signal gets through to the first ones."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_cnn.inspect.layers import watched


@dataclass(frozen=True)
class Flow:
    """Means of absolute values over images, of a layer's output, of the loss's gradient there, and of that of its
    weights (None without weights); `saturated`: share of outputs in the last 5 % of a sigmoid's or tanh's range, or
    that a ReLU has at 0.
    """

    name: str
    kind: str
    activation: float
    gradient: float
    weight_gradient: float | None
    saturated: float | None


def flow_of(net: nn.Module, images: Tensor, labels: Tensor) -> list[Flow]:
    """With cross-entropy.

    Args:
        net: in evaluation mode, so that batch norm and dropout are as when it answers.
        images: (N, 1, 28, 28), scaled as the net takes them.
    """
    outputs: dict[str, tuple[nn.Module, Tensor]] = {}

    def keep(name: str, module: nn.Module, given: Tensor, output: Tensor) -> None:
        output.retain_grad()
        outputs[name] = module, output

    net.zero_grad()
    with watched(net, keep), torch.enable_grad():
        F.cross_entropy(net(images.requires_grad_()), labels).backward()
    found = [_flow(name, *outputs[name]) for name in outputs]
    net.zero_grad()
    return found


def _flow(name: str, module: nn.Module, output: Tensor) -> Flow:
    gradient = 0.0 if output.grad is None else float(output.grad.abs().mean()) * len(output)  # of one image's own loss
    weight = getattr(module, "weight", None)
    of_weights = None if weight is None or weight.grad is None else float(weight.grad.abs().mean())
    values = output.detach()
    return Flow(
        name, type(module).__name__, float(values.abs().mean()), gradient, of_weights, _saturated(module, values)
    )


def _saturated(module: nn.Module, values: Tensor) -> float | None:
    if isinstance(module, nn.Sigmoid):
        return float(((values < 0.05) | (values > 0.95)).float().mean())
    if isinstance(module, nn.Tanh):
        return float((values.abs() > 0.95).float().mean())
    return float((values == 0).float().mean()) if isinstance(module, nn.ReLU) else None
