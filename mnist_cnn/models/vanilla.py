"""Convolutions and one pooling layer, nothing else."""

from collections.abc import Sequence
from typing import Any

from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import stage
from mnist_cnn.values import Count


class VanillaCNN(Classifier):
    """Document 004's plain net: 3x3 convolutions, 1x1 convolution, pooling, 3x3 convolutions, 4x4 convolution.

    Args:
        stage1: filters of the 3x3 convolutions before the 1x1 convolution.
        squeeze: filters of the 1x1 convolution.
        stage2: filters of the 3x3 convolutions after the pooling; four of them leave 4 x 4 pixels.
        options: see `Classifier`.
    """

    def __init__(self, stage1: Sequence[Count], squeeze: Count, stage2: Sequence[Count], **options: Any) -> None:
        super().__init__(**options)
        self.set_layers(squeezed_layers(stage1, squeeze, stage2, self.num_classes))


def squeezed_layers(
    stage1: Sequence[int], squeeze: int, stage2: Sequence[int], classes: int, after: Sequence[Any] = ()
) -> list[Any]:
    """The layer list that document 004's nets share; `after` follows each 3x3 convolution."""
    return [
        *stage(stage1, *after),
        {"conv": {"filters": squeeze, "kernel": 1}},
        "pool",
        *stage(stage2, *after),
        {"conv": {"filters": classes, "kernel": 4}},
        "flatten",
    ]
