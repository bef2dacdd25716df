"""Layers of a list that PyTorch has no module for."""

from torch import Tensor, nn


class GlobalAveragePooling(nn.Module):
    """(N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class GlobalMaxPooling(nn.AdaptiveMaxPool2d):
    """(N, C, H, W) to (N, C)."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten(1)


class SqueezeExcite(nn.Module):
    """Scales each channel by a number in (0, 1) that two dense layers make from all channel means (Hu et al., 2018)."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, units), nn.Linear(units, channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.excite(self.squeeze(x.mean(dim=(2, 3))).relu()).sigmoid()
        return x * scale[:, :, None, None]


class Residual(nn.Module):
    """Adds its input to what its layers make of it (He et al., 2016)."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
