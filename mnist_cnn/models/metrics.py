"""The figures of one split: mean loss and accuracy, and how others become columns."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy


class SplitMetrics(torch.nn.Module):
    """Mean loss and accuracy of one split; a NaN loss stays a NaN.

    A step only puts its results into `batches`: updating the metrics there costs as much as a small layer. Steps that
    are recorded for a GPU `add` theirs to sums that lie on it.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []  # loss (), predicted classes (N,), labels (N,)
        self.sums: Tensor | None = None  # (2,) float64: losses of all images, right answers
        self.images = 0  # in `sums`
        self.loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MulticlassAccuracy(classes, average="micro", validate_args=False)

    @property
    def empty(self) -> bool:
        return not self.batches and not self.images

    def add_up_on(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, loss: Tensor, predicted: Tensor, labels: Tensor) -> None:
        """A recorded step; whoever replays it counts its `images`."""
        assert self.sums is not None
        self.sums[0].add_(loss, alpha=len(labels))
        self.sums[1].add_((predicted == labels).sum())

    def clear(self) -> None:
        self.batches.clear()
        self.images = 0
        if self.sums is not None:
            self.sums.zero_()

    def compute(self) -> tuple[float, float]:
        """Over all images, those in `batches` of the other processes included."""
        if not self.batches:
            assert self.sums is not None
            loss, right = (self.sums / self.images).tolist()
            return loss, right
        losses, predicted, labels = zip(*self.batches, strict=True)
        self.loss.reset()
        self.accuracy.reset()
        sizes = torch.tensor([len(of_batch) for of_batch in labels], device=losses[0].device)
        self.loss.update(torch.stack(losses).repeat_interleave(sizes))  # once per image: `disable` ignores weights
        self.accuracy.update(torch.cat(predicted), torch.cat(labels))
        loss, accuracy = float(self.loss.compute()), float(self.accuracy.compute())
        if not self.images or self.sums is None:
            return loss, accuracy
        others = int(sizes.sum())
        sums = self.sums.cpu() + torch.tensor([loss, accuracy], dtype=torch.float64) * others
        loss, accuracy = (sums / (self.images + others)).tolist()
        return loss, accuracy


def columns(name: str, value: Any) -> dict[str, float]:
    """A figure by its name; a vector, such as a figure per class, as `name_0`, `name_1` and so on."""
    tensor = torch.as_tensor(value)
    if tensor.numel() == 1:
        return {name: float(tensor)}
    return {f"{name}_{i}": float(each) for i, each in enumerate(tensor.flatten())}
