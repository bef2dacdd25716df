"""Anybody's net as a classifier: any module from (N, 1, 28, 28) to logits (N, classes), and what it is held to."""

from collections.abc import Sized
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mnist_cnn.errors import LayerError
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import INPUT_SHAPE


class NetClassifier(Classifier):
    """A net that knows nothing of training; lazy layers get their sizes here.

    Args:
        net: from (N, 1, 28, 28) to logits (N, classes).
        adapt_input: its first convolution, made for colour, takes one channel: the weights of its channels are added
            up, which is what three equal channels would give.
        options: see `Classifier`; those of layer lists have no effect.

    Raises:
        LayerError: `adapt_input` without a convolution to adapt.
    """

    def __init__(self, net: nn.Module, adapt_input: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.net = with_grey_input(net) if adapt_input else net
        if any(is_lazy(parameter) for parameter in net.parameters()):
            with torch.no_grad():
                self.net.eval()(torch.zeros(2, *INPUT_SHAPE))
            self.net.train()


def with_grey_input(net: nn.Module) -> nn.Module:
    """The net with its first convolution for one channel instead of several; changed in place."""
    for name, first in net.named_modules():
        if not isinstance(first, nn.Conv2d):
            continue
        if first.groups != 1:
            raise LayerError(f"adapt_input: the first convolution, {name or 'the net'}, has {first.groups} groups")
        if first.in_channels > 1:
            first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))
            first.in_channels = 1
        return net
    raise LayerError("adapt_input: the net has no Conv2d")


def rehearse(model: Classifier, classes: int | None) -> None:
    """Holds a net and a loss of somebody's own to what a training needs of them, by two blank images.

    Moving averages and random numbers are touched, so the model must be one that nobody trains.

    Args:
        classes: None where nobody knows yet.

    Raises:
        LayerError: other than one number per class and image, or a loss that is not one number.
    """
    if not hasattr(model, "net"):
        raise LayerError(f"{type(model).__name__} has no `net`: call set_layers, or assign one")
    for training in (True, False):
        model.train(training)
        with torch.no_grad():
            logits = model(torch.zeros(2, *INPUT_SHAPE))
        if not isinstance(logits, Tensor):
            number = f" of {len(logits)}" if isinstance(logits, Sized) else ""
            raise LayerError(f"the net gives a {type(logits).__name__}{number}; needed: one tensor of logits")
        if logits.ndim != 2 or len(logits) != 2:
            raise LayerError(f"the net gives shape {tuple(logits.shape)} for 2 images; needed: (2, classes)")
        if classes is not None and logits.shape[1] != classes:
            raise LayerError(f"the net gives {logits.shape[1]} logits for {classes} classes")
    if isinstance(model.loss, str):
        return
    loss = model.loss_of(logits, torch.zeros(2, dtype=torch.long), "val")
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise LayerError(f"the loss gives {found}; needed: one number, such as the mean over the images")
