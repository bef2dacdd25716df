"""Any sequential net, straight from a layer list."""

from collections.abc import Sequence
from typing import Any

from mnist_cnn.models.classifier import Classifier


class SequentialCNN(Classifier):
    """The net that `layers` lists, in the notation of `mnist_cnn.models.layers`; checked when built.

    Args:
        layers: e.g. `[{"conv": 32}, "pool", "flatten", {"dense": 10}]`.
        options: see `Classifier`.
    """

    def __init__(self, layers: Sequence[Any], **options: Any) -> None:
        super().__init__(**options)
        self.set_layers(layers)
