"""The batched affine map against torchvision's, and its statistics."""

import math

import torch
from torchvision.transforms.v2 import functional

from mnist_cnn.data.augment import RandomAffine


def test_nothing_to_do_leaves_the_images_alone():
    images = torch.rand(4, 1, 28, 28)
    assert torch.allclose(RandomAffine(0, 0, 0, 0)(images), images, atol=1e-5)


def test_a_pure_rotation_is_torchvisions(monkeypatch):
    image = torch.zeros(1, 1, 28, 28)
    image[..., 6:22, 12:16] = 1
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.tensor([1.0, 0.5, 0.5, 0.5, 0.5]).view(5, 1))
    mine = RandomAffine(degrees=30, translate=0, scale=0, shear=0)(image)
    both = [functional.rotate(image, angle, interpolation=functional.InterpolationMode.BILINEAR) for angle in (30, -30)]
    assert min(float((mine - theirs).abs().mean()) for theirs in both) < 1e-5


def moments(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of every image: its variance along x, along y, and their covariance, in pixels squared."""
    places = torch.arange(float(images.shape[-1])) - (images.shape[-1] - 1) / 2
    weight = images.sum((1, 2, 3))
    x, y = images.sum((1, 2)), images.sum((1, 3))
    both = (images[:, 0] * places[:, None] * places).sum((1, 2))
    return (x * places**2).sum(1) / weight, (y * places**2).sum(1) / weight, both / weight


def blob() -> torch.Tensor:
    """500 times a round spot in the middle, small enough that no map moves it out."""
    places = torch.arange(41.0) - 20
    spot = torch.exp(-(places[:, None] ** 2 + places**2) / (2 * 3.0**2))
    return spot.expand(500, 1, 41, 41)


def test_every_image_has_its_own_shift_within_the_limits():
    torch.manual_seed(0)
    dots = torch.zeros(500, 1, 29, 29)
    dots[:, :, 14, 14] = 1
    moved = RandomAffine(degrees=0, translate=0.1, scale=0, shear=0)(dots)
    places = torch.arange(29.0)
    for axis in (2, 3):
        x = (moved.sum((1, axis)) * places).sum(1) / moved.sum((1, 2, 3)) - 14
        assert x.abs().max() < 0.1 * 29 + 0.6
        assert abs(float(x.std()) - 0.1 * 29 / math.sqrt(3)) < 0.15
        assert x.unique().numel() > 400


def test_every_image_has_its_own_zoom_within_the_limits():
    torch.manual_seed(0)
    spots = blob()
    x, y, both = moments(RandomAffine(degrees=0, translate=0, scale=0.5, shear=0)(spots))
    before = moments(spots)[0]
    zooms = torch.log((x / before).sqrt())  # log-uniform between 1 / 1.5 and 1.5
    limit = math.log(1.5)
    assert zooms.abs().max() < limit + 0.01
    assert zooms.max() > limit - 0.05
    assert zooms.min() < 0.05 - limit
    assert abs(float(zooms.std()) - limit / math.sqrt(3)) < 0.02
    assert zooms.unique().numel() > 400
    assert torch.allclose(x, y, rtol=1e-3)  # the same along both axes
    assert both.abs().max() < 1e-2


def test_every_image_has_its_own_shear_within_the_limits():
    torch.manual_seed(0)
    _, y, both = moments(RandomAffine(degrees=0, translate=0, scale=0, shear=20)(blob()))
    angles = torch.rad2deg(torch.atan(both / y))  # x leans by this much for a step in y
    assert angles.abs().max() < 20 + 0.2
    assert angles.max() > 19
    assert angles.min() < -19
    assert abs(float(angles.std()) - 20 / math.sqrt(3)) < 0.6
    assert angles.unique().numel() > 400
    assert torch.allclose(y, y[:1], rtol=1e-2)  # rows stay where they are


def test_the_global_seed_decides_the_maps():
    images = torch.rand(8, 1, 28, 28)
    augment = RandomAffine(7, 0.06, 0.07, 5)
    torch.manual_seed(3)
    first = augment(images)
    torch.manual_seed(3)
    assert torch.equal(first, augment(images))
    assert not torch.equal(first, augment(images))
