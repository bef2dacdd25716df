"""Augmentation of a batch on the device it lies on, with a draw of its own for every image."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms import v2

from mnist_cnn.errors import AugmentError
from mnist_cnn.values import Angle, NotNegative, ShearAngle, Unit

POINTS = 7  # along each side, whose shifts make an elastic distortion: one for four pixels


class RandomAffine(nn.Module):
    """Its own random rotation, shift, zoom and shear for every image of a batch, and elastic distortion.

    One call for the batch; torchvision's `RandomAffine` and `ElasticTransform` take one per image.

    Args:
        degrees: largest rotation, in degrees, either way.
        translate: largest shift, as a share of the image side, either way and per axis.
        scale: zoom factors lie between 1 / (1 + scale) and 1 + scale, log-uniform.
        shear: largest shear angle, in degrees, either way.
        elastic: standard deviation, in pixels per axis, of the shifts of 7 x 7 points, smooth between (after Simard,
            Steinkraus and Platt, 2003, who shift each pixel and blur the shifts).
        padding_mode: what comes in from outside: zeros, or the pixels of the border, for pictures on a light ground.
    """

    def __init__(
        self,
        degrees: Angle,
        translate: Unit,
        scale: NotNegative,
        shear: ShearAngle,
        elastic: NotNegative = 0.0,
        padding_mode: Literal["zeros", "border"] = "zeros",
    ) -> None:
        super().__init__()
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear
        self.elastic, self.padding_mode = elastic, padding_mode

    def forward(self, images: Tensor) -> Tensor:
        """Maps (N, C, H, W) to the same shape, bilinear."""
        # Drawn on the CPU: the same maps for the same seed whatever the device, and no kernel launch per number.
        unit = torch.rand(5, len(images), dtype=torch.float32) * 2 - 1
        angle, shear = unit[0] * math.radians(self.degrees), torch.tan(unit[1] * math.radians(self.shear))
        zoom = torch.exp(unit[2] * math.log1p(self.scale))
        shift = unit[3:5] * 2 * self.translate  # grid coordinates run from -1 to 1
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        rows = [cos, cos * shear - sin, shift[0], sin, sin * shear + cos, shift[1]]
        theta = torch.stack(rows, dim=1).view(-1, 2, 3).to(images.device, images.dtype)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        if self.elastic:
            points = torch.randn(len(images), 2, POINTS, POINTS, dtype=torch.float32).to(images.device, images.dtype)
            down, across = (_between(POINTS, size).to(points) for size in images.shape[-2:])
            shifts = down @ points @ across.T
            grid = grid + shifts.permute(0, 2, 3, 1) * (self.elastic * 2 / images.shape[-1])
        return F.grid_sample(images, grid, padding_mode=self.padding_mode, align_corners=False)


def _between(points: int, size: int) -> Tensor:
    """(size, points): what each point counts for along a side, by cubic interpolation; products with it are faster."""
    return F.interpolate(torch.eye(points)[None, None], (size, points), mode="bicubic", align_corners=True)[0, 0]


_CHAINS = (v2.Compose, transforms.Compose)
_MIXES = (v2.MixUp, v2.CutMix)


class Augmentation(nn.Module):
    """Anything that changes images, as the training calls it.

    torchvision draws once per call, so what is random in it is called once per image; the rest, and everything that is
    not torchvision's, gets the whole batch. MixUp and CutMix also turn labels (N,) into probabilities (N, classes).

    Args:
        transform: a module or function from float images (N, C, H, W) to the same shape.
        classes: of the labels, for MixUp and CutMix.

    Raises:
        AugmentError: images of another shape or type came out.
    """

    def __init__(self, transform: Callable[..., Any], classes: int = 10) -> None:
        super().__init__()
        self.transform = transform
        held = transform.transforms if isinstance(transform, _CHAINS) else ()
        self.chain = nn.ModuleList(Augmentation(each, classes) for each in held)
        mixes = [each for each in _all_in(transform) if isinstance(each, _MIXES)]
        for mix in mixes:
            mix.num_classes = mix.num_classes or classes
        self.mixes, self.per_image = bool(mixes), _draws_per_call(transform)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.chain:
            for each in self.chain:
                images, labels = each(images, labels)
            return images, labels
        if self.mixes:
            return self.transform(images, labels)
        if self.per_image:
            return torch.cat([_alike(image, self.transform(image)) for image in images.split(1)]), labels
        return _alike(images, self.transform(images)), labels


def augmentation(transform: Callable[..., Any] | None, class_names: Sequence[str]) -> Augmentation | None:
    """None for nothing to change."""
    return Augmentation(transform, len(class_names)) if transform is not None else None


def _alike(before: Tensor, after: Any) -> Tensor:
    if not isinstance(after, Tensor):
        raise AugmentError(f"makes a {type(after).__name__} of images, not images")
    if after.shape != before.shape or after.dtype != before.dtype:
        raise AugmentError(
            f"makes {after.dtype} {tuple(after.shape)} of {before.dtype} {tuple(before.shape)}; "
            "images must keep their shape and type"
        )
    return after


def _all_in(transform: Any) -> list[Any]:
    """Itself, and all that it holds, however deep."""
    held = getattr(transform, "transforms", None)
    return [transform, *(inner for each in held or [] for inner in _all_in(each))]


def _draws_per_call(transform: Any) -> bool:
    """Whether it is torchvision's and random; of the second version, what draws no parameters of its own is not."""
    if not type(transform).__module__.startswith("torchvision.transforms"):
        return False
    second = isinstance(transform, v2.Transform) and type(transform).forward is v2.Transform.forward
    return not (second and type(transform).make_params is v2.Transform.make_params)
