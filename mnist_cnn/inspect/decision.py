"""What moves the decision between the two best classes of an image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

PATCH = 5  # pixels: side of what is covered
STEPS = 32  # from black to the image


@dataclass(frozen=True)
class Decision:
    """Args:
    probabilities: (classes,).
    first, second: the best classes.
    covered: (28, 28), how far the first's lead over the second (in logits) falls when a patch around the pixel is
        black; positive speaks for the first.
    gradients: (28, 28), the share of each pixel in that lead, by integrated gradients from black (Sundararajan, Taly
        and Yan, 2017); all together they are the lead less that of a black image.
    """

    probabilities: Tensor
    first: int
    second: int
    covered: Tensor
    gradients: Tensor


def decision_of(net: nn.Module, image: Tensor) -> Decision:
    """Args:
    net: in evaluation mode.
    image: (1, 1, 28, 28), scaled as the net takes it.
    """
    with torch.no_grad():
        logits = net(image)[0]
        first, second = logits.topk(2).indices.tolist()
        side = image.shape[-1]
        away = (torch.arange(side)[:, None] - torch.arange(side)).abs() <= PATCH // 2  # (pixel, row or column)
        patches = away[:, None, :, None] & away[None, :, None, :]
        hidden = image * ~patches.reshape(side * side, 1, side, side)
        leads = torch.cat([_lead(net(part), first, second) for part in hidden.split(98)])
        covered = (_lead(logits[None], first, second) - leads).reshape(side, side)
    shares = (torch.arange(STEPS) + 0.5) / STEPS
    path = (image * shares[:, None, None, None]).requires_grad_()
    with torch.enable_grad():
        [slopes] = torch.autograd.grad(_lead(net(path), first, second).sum(), path)
    return Decision(logits.softmax(0), first, second, covered, (slopes.mean(0) * image[0])[0])


def _lead(logits: Tensor, first: int, second: int) -> Tensor:
    return logits[:, first] - logits[:, second]
