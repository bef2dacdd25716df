"""A family of small nets by a few numbers, to search in."""

from collections.abc import Iterator
from typing import Any, Literal

from mnist_cnn.errors import LayerError
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.values import Count, NotNegativeInt, Positive, Some

Padding = Literal["valid", "same"]


class SmallCNN(Classifier):
    """One convolution on the whole image, stages of 3x3 convolutions on smaller ones, a global pooling, a linear head.

    All convolutions are without bias, before batch norm and activation; 2 x 2 pooling comes between stages, before
    batch norm: the same function for ReLU, on a quarter of the numbers.

    Args:
        first: filters of the first convolution, which has no padding.
        first_kernel: its side in pixels.
        first_pool: pooling after it: a quarter of the computing, for some accuracy.
        width: filters of the first stage.
        growth: how many times those of the one before each further stage has, rounded.
        depths: convolutions of each stage.
        padding: of each stage, or of the first one, where the others keep the size of the image: `valid` leaves a
            smaller one, with less to compute.
        block: what a convolution of a stage is: `plain`; `depthwise`: one kernel per channel, batch norm, then 1x1
            (Howard et al., 2017); `separable`: the same without that batch norm (Chollet, 2017).
        groups: of plain convolutions whose channels and filters it divides, but the first; 1 for all others.
        shared: all convolutions of a stage with as many channels as filters are one.
        residual: adds its input to each convolution that keeps the shape.
        squeeze_excite: units, after each stage (Hu et al., 2018); 0 for none.
        head: average (`gap`) or maximum (`gmp`) over the image.
        options: see `Classifier`.

    Raises:
        LayerError: paddings of more or fewer stages than there are.
    """

    def __init__(
        self,
        first: Count,
        width: Count,
        growth: Positive,
        depths: Some[Count],
        first_kernel: Count = 5,
        first_pool: bool = True,
        padding: Padding | Some[Padding] = "same",
        block: Literal["plain", "depthwise", "separable"] = "plain",
        groups: Count = 1,
        shared: bool = False,
        residual: bool = False,
        squeeze_excite: NotNegativeInt = 0,
        head: Literal["gap", "gmp"] = "gmp",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.block, self.groups, self.shared, self.residual = block, groups, shared, residual
        plain = {"bias": False, "activation": "none"}
        layers: list[Any] = [{"conv": {"filters": first, "kernel": first_kernel, **plain}}]
        layers += [*(["pool"] if first_pool else []), "batch_norm", "activation"]
        channels = first
        paddings = [padding, *["same"] * (len(depths) - 1)] if isinstance(padding, str) else list(padding)
        if len(paddings) != len(depths):
            raise LayerError(f"padding = {paddings}: must be one for each stage, of which depths has {len(depths)}")
        for i, depth in enumerate(depths):
            filters = max(1, round(width * growth**i))
            for j in range(depth):
                pooled = j == depth - 1 and i < len(depths) - 1
                layers += self._convolution(channels, filters, pooled, f"stage {i + 1}", paddings[i])
                channels = filters
            layers += [{"squeeze_excite": squeeze_excite}] if squeeze_excite else []
        self.set_layers([*layers, head, {"dense": self.num_classes}])

    def _convolution(self, channels: int, filters: int, pooled: bool, stage: str, padding: str) -> Iterator[Any]:
        keeps = channels == filters and padding == "same"
        named = {"share": stage} if self.shared and channels == filters else {}
        plain = {"padding": padding, "bias": False, "activation": "none"}
        if self.block != "plain":
            depthwise = {"filters": channels, "groups": "depthwise", **plain}
            inner: list[Any] = [{"conv": depthwise | ({"share": f"{stage} depthwise"} if named else {})}]
            inner += ["batch_norm"] if self.block == "depthwise" else []
            inner += [{"conv": {"filters": filters, "kernel": 1, **plain, "padding": "valid", **named}}]
        else:
            groups = self.groups if channels % self.groups == filters % self.groups == 0 else 1
            inner = [{"conv": {"filters": filters, "groups": groups, **plain, **named}}]
        after = [*(["pool"] if pooled else []), "batch_norm", "activation"]
        if self.residual and keeps:
            yield {"residual": [*inner, "batch_norm"]}
            yield from after[:-2]
            yield "activation"
        else:
            yield from [*inner, *after]
