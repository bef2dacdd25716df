"""Augmentation of a whole batch at once, on the device it lies on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_cnn.values import Angle, NotNegative, ShearAngle, Unit


class RandomAffine(nn.Module):
    """Its own random rotation, shift, zoom and shear for every image of a batch.

    torchvision's `RandomAffine` draws one map for a whole batch, or is called once per image.

    Args:
        degrees: largest rotation, in degrees, either way.
        translate: largest shift, as a share of the image side, either way and per axis.
        scale: zoom factors lie between 1 / (1 + scale) and 1 + scale, log-uniform.
        shear: largest shear angle, in degrees, either way.
    """

    def __init__(self, degrees: Angle, translate: Unit, scale: NotNegative, shear: ShearAngle) -> None:
        super().__init__()
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear

    def forward(self, images: Tensor) -> Tensor:
        """Maps (N, C, H, W) to the same shape, bilinear, with zeros outside."""
        # Drawn on the CPU: the same maps for the same seed whatever the device, and no kernel launch per number.
        unit = torch.rand(5, len(images), dtype=torch.float32) * 2 - 1
        angle, shear = unit[0] * math.radians(self.degrees), torch.tan(unit[1] * math.radians(self.shear))
        zoom = torch.exp(unit[2] * math.log1p(self.scale))
        shift = unit[3:5] * 2 * self.translate  # grid coordinates run from -1 to 1
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        rows = [cos, cos * shear - sin, shift[0], sin, sin * shear + cos, shift[1]]
        theta = torch.stack(rows, dim=1).view(-1, 2, 3).to(images.device, images.dtype)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)
