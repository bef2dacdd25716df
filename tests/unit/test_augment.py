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


def test_every_image_has_its_own_map_within_the_limits():
    torch.manual_seed(0)
    dots = torch.zeros(500, 1, 29, 29)
    dots[:, :, 14, 14] = 1
    moved = RandomAffine(degrees=0, translate=0.1, scale=0, shear=0)(dots)
    places = torch.arange(29.0)
    x = (moved.sum((1, 2)) * places).sum(1) / moved.sum((1, 2, 3)) - 14
    assert x.abs().max() < 0.1 * 29 + 0.6
    assert abs(float(x.std()) - 0.1 * 29 / math.sqrt(3)) < 0.15
    assert x.unique().numel() > 400


def test_the_global_seed_decides_the_maps():
    images = torch.rand(8, 1, 28, 28)
    augment = RandomAffine(7, 0.06, 0.07, 5)
    torch.manual_seed(3)
    first = augment(images)
    torch.manual_seed(3)
    assert torch.equal(first, augment(images))
    assert not torch.equal(first, augment(images))
