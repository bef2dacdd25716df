"""The same plan as the vanilla net, with batch norm and dropout after each 3x3 convolution."""

from collections.abc import Sequence
from typing import Any

from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.vanilla import squeezed_layers
from mnist_cnn.values import Count, Share


class BNDropoutCNN(Classifier):
    """Document 004's net under 15,000 parameters; batch norm comes after the activation there.

    Args:
        stage1: filters of the 3x3 convolutions before the 1x1 convolution.
        squeeze: filters of the 1x1 convolution, which has neither batch norm nor dropout.
        stage2: filters of the 3x3 convolutions after the pooling; four of them leave 4 x 4 pixels.
        dropout: share of the activations set to zero, in [0, 1).
        options: see `Classifier`.
    """

    def __init__(
        self, stage1: Sequence[Count], squeeze: Count, stage2: Sequence[Count], dropout: Share, **options: Any
    ) -> None:
        super().__init__(**options)
        after = ["batch_norm", {"dropout": dropout}]
        self.set_layers(squeezed_layers(stage1, squeeze, stage2, self.num_classes, after))
