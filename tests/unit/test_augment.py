"""The batched affine map against torchvision's, and statistics of what each image of a batch gets."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

import mnist_cnn as mc
from mnist_cnn.data.adopted import adopt
from mnist_cnn.data.augment import Augmentation, RandomAffine


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


def test_an_elastic_distortion_bends_and_does_not_shift_all():
    torch.manual_seed(0)
    dots = torch.zeros(500, 1, 28, 28)
    dots[:, :, 5, 5], dots[:, :, 22, 22] = 1, 1
    bent = RandomAffine(0, 0, 0, 0, elastic=0.7)(dots)
    places = torch.arange(28.0)
    shifts = []
    for half, middle in ((slice(0, 14), 5), (slice(14, 28), 22)):
        spot = bent[:, 0, half, half]
        shifts.append((spot.sum(1) * places[half]).sum(1) / spot.sum((1, 2)) - middle)
    for shift in shifts:
        assert abs(float(shift.mean())) < 0.1
        assert 0.4 < float(shift.std()) < 0.8
        assert shift.unique().numel() > 400
    assert abs(float(torch.corrcoef(torch.stack(shifts))[0, 1])) < 0.2  # far from each other, they go their own ways


def test_between_its_points_an_elastic_distortion_is_cubic(monkeypatch):
    places = torch.linspace(-1, 1, 28)
    image = (places[:, None] * places)[None, None]
    points = torch.randn(1, 2, 7, 7) / 10
    monkeypatch.setattr(torch, "randn", lambda *_, **__: points)
    bent = RandomAffine(0, 0, 0, 0, elastic=2)(image)
    shifts = torch.nn.functional.interpolate(points * 2, (28, 28), mode="bicubic", align_corners=True)[0] * 2 / 28
    middle = torch.arange(28) * 2 / 28 - 27 / 28
    grid = torch.stack([middle + shifts[0], middle[:, None] + shifts[1]], -1)[None]
    torch.testing.assert_close(bent, torch.nn.functional.grid_sample(image, grid, align_corners=False))


def test_without_elastic_distortion_the_same_numbers_are_drawn_as_ever():
    images = torch.rand(4, 1, 28, 28)
    torch.manual_seed(1)
    RandomAffine(7, 0.06, 0.07, 5)(images)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    torch.rand(5, 4)
    assert torch.equal(torch.rand(1), drawn)


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


def test_what_comes_in_from_outside_is_black_or_goes_on_as_the_image_ends():
    light = torch.full((64, 1, 28, 28), 0.9)
    moves = {"degrees": 20.0, "translate": 0.2, "scale": 0.3, "shear": 10.0}
    assert RandomAffine(**moves)(light).min() == 0
    torch.testing.assert_close(RandomAffine(**moves, padding_mode="border")(light), light)


def test_the_global_seed_decides_the_maps():
    images = torch.rand(8, 1, 28, 28)
    augment = RandomAffine(7, 0.06, 0.07, 5)
    torch.manual_seed(3)
    first = augment(images)
    torch.manual_seed(3)
    assert torch.equal(first, augment(images))
    assert not torch.equal(first, augment(images))


BAR = torch.zeros(1, 1, 28, 28)
BAR[..., 6:22, 12:16] = 1
LABELS = torch.arange(64) % 10
RANDOM = [
    v2.RandomRotation(20), v2.RandomAffine(0, translate=(0.2, 0.2)), v2.RandomErasing(p=1.0), v2.ElasticTransform(),
    v2.ColorJitter(brightness=0.5), v2.RandomPerspective(p=1.0), transforms.RandomRotation(20),
    v2.RandomChoice([v2.RandomRotation(20), RandomAffine(20, 0, 0, 0)]),
]  # fmt: skip


@pytest.mark.parametrize("transform", RANDOM, ids=lambda each: type(each).__name__)
def test_torchvision_draws_for_every_image(transform):
    torch.manual_seed(0)
    before = torch.rand(1, 1, 28, 28).expand(64, 1, 28, 28)
    torch.manual_seed(0)
    images, labels = Augmentation(transform)(before, LABELS)
    assert images.shape == (64, 1, 28, 28)
    assert len(images.flatten(1).unique(dim=0)) > 48  # one draw for all would give one
    assert labels is LABELS
    torch.manual_seed(0)
    assert torch.equal(images, Augmentation(transform)(before, LABELS)[0])


def test_rotations_are_uniform_over_the_images_of_a_batch():
    torch.manual_seed(0)
    turned, _ = Augmentation(v2.RandomRotation(20, interpolation=functional.InterpolationMode.BILINEAR))(
        BAR.expand(500, 1, 28, 28), torch.zeros(500)
    )
    x, y, both = moments(turned)
    angles = 90 - torch.rad2deg(0.5 * torch.atan2(2 * both, x - y)).abs()  # of the bar, from upright
    assert angles.max() < 21
    assert abs(float(angles.mean()) - 10) < 1  # of their size: uniform in [0, 20]
    assert abs(float(angles.std()) - 20 / math.sqrt(12)) < 0.6


def test_what_is_not_random_and_what_is_ours_gets_the_whole_batch():
    calls = []

    class Own(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            calls.append(len(images))
            return 1 - images

    chain = v2.Compose([Own(), v2.Normalize([0.5], [0.5]), v2.RandomErasing(p=1.0)])
    images, _ = Augmentation(chain)(BAR.expand(8, 1, 28, 28), LABELS[:8])
    assert calls == [8]
    assert images.min() == -1
    assert len(images.flatten(1).unique(dim=0)) == 8
    assert Augmentation(torch.sqrt)(BAR, LABELS[:1])[0].equal(BAR)


@pytest.mark.parametrize("mix", [v2.MixUp(), v2.CutMix(), v2.RandomChoice([v2.MixUp(), v2.CutMix()])])
def test_mixed_images_have_mixed_labels(mix):
    torch.manual_seed(0)
    images, labels = Augmentation(v2.Compose([RandomAffine(7, 0, 0, 0), mix]), classes=12)(
        torch.rand(64, 1, 28, 28), LABELS
    )
    assert images.shape == (64, 1, 28, 28)
    assert labels.shape == (64, 12)
    assert torch.allclose(labels.sum(1), torch.ones(64))
    assert labels.max(1).values.min() < 1


def test_images_must_stay_images():
    with pytest.raises(ValueError, match=r"\(1, 1, 20, 20\)"):
        Augmentation(v2.RandomCrop(20))(BAR, LABELS[:1])


class Three(pl.LightningDataModule):
    class_names = ("bird", "cat", "dog")

    def train_dataloader(self):
        return [(BAR.expand(4, 1, 28, 28), LABELS[:4] % 3)]


def test_labels_are_mixed_over_the_classes_of_the_data():
    images, labels = np.zeros((40, 28, 28), np.uint8), np.arange(40) % 3
    ours = mc.MNISTDataModule.from_arrays(images, labels, augment=v2.MixUp())
    for data in (ours, adopt(Three(), v2.CutMix(), seed=1)):
        data.setup("fit")
        assert data.augment(BAR.expand(4, 1, 28, 28), LABELS[:4] % 3)[1].shape == (4, 3)
