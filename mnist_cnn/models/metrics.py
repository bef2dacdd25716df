"""The figures of one split: mean loss and accuracy, and how others become columns."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy


class SplitMetrics(torch.nn.Module):
    """Mean loss and accuracy of one split; a NaN loss stays a NaN.

    A step only puts its results into `batches`: updating the metrics there costs as much as a small layer.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []  # loss (), predicted classes (N,), labels (N,)
        self.loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MulticlassAccuracy(classes, average="micro", validate_args=False)

    def compute(self) -> tuple[float, float]:
        """Over all images in `batches`, those of the other processes included."""
        losses, predicted, labels = zip(*self.batches, strict=True)
        self.loss.reset()
        self.accuracy.reset()
        sizes = torch.tensor([len(of_batch) for of_batch in labels], device=losses[0].device)
        self.loss.update(torch.stack(losses).repeat_interleave(sizes))  # once per image: `disable` ignores weights
        self.accuracy.update(torch.cat(predicted), torch.cat(labels))
        return float(self.loss.compute()), float(self.accuracy.compute())


def columns(name: str, value: Any) -> dict[str, float]:
    """A figure by its name; a vector, such as a figure per class, as `name_0`, `name_1` and so on."""
    tensor = torch.as_tensor(value)
    if tensor.numel() == 1:
        return {name: float(tensor)}
    return {f"{name}_{i}": float(each) for i, each in enumerate(tensor.flatten())}
