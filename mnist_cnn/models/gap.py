"""Stages of conv-BN-ReLU, global average pooling, and a linear head."""

from typing import Any

from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import stage
from mnist_cnn.values import Count, Some


class GAPCNN(Classifier):
    """Padded 3x3 convolutions without bias, pooled 2 x 2 between stages (Lin, Chen and Yan, 2014, for the head).

    The pooling stands before the activation: the same function for ReLU, on a quarter of the numbers.

    Args:
        stages: filters of the convolutions, a list per stage.
        options: see `Classifier`.
    """

    def __init__(self, stages: Some[Some[Count]], **options: Any) -> None:
        super().__init__(**options)
        layers: list[Any] = []
        for i, widths in enumerate(stages):
            *inner, last = widths
            plain = {"padding": "same", "bias": False, "activation": "none"}
            layers += stage(inner, "batch_norm", "activation", **plain)
            layers += stage([last], "batch_norm", *(["pool"] if i < len(stages) - 1 else []), "activation", **plain)
        self.set_layers([*layers, "gap", {"dense": self.num_classes}])
