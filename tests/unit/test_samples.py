"""The picture of the training images, as they are and as augmentation shows them to the net; that of mistakes."""

import itertools

import numpy as np
import torch

from mnist_cnn.data.augment import Augmentation
from mnist_cnn.data.base import ImageSet
from mnist_cnn.report.plots import augmented, curves, mistakes, samples


def test_the_right_half_is_augmented_and_no_random_number_is_used_up():
    images = ImageSet(torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1).expand(12, 1, 28, 28), torch.arange(12) % 2)
    noise = Augmentation(lambda batch: batch + torch.rand(len(batch), 1, 1, 1))
    before = torch.random.get_rng_state()
    figure = samples(images, ["shirt", "bag"], lambda chosen: augmented(noise, 255.0, chosen))
    assert torch.equal(before, torch.random.get_rng_state())
    [axes] = figure.axes
    shown = np.asarray(axes.images[0].get_array())[14::31, 14::31]  # images of 28 pixels, 3 between
    assert shown[:, :5].tolist() == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    assert (shown[:, 5:] > shown[:, :5]).all()
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["shirt", "bag", "as they are", "as the net sees them, augmented"]
    [plain] = samples(images, ["shirt", "bag"], each=7).axes
    assert [text.get_text() for text in plain.texts] == ["shirt", "bag"]
    shown = np.asarray(plain.images[0].get_array())[14::31, 14::31]
    assert shown.tolist() == [[0, 2, 4, 6, 8, 10, 0], [1, 3, 5, 7, 9, 11, 0]]


def test_a_class_of_few_images_has_them_augmented_where_the_others_have_them():
    images = ImageSet(torch.full((4, 1, 28, 28), 9, dtype=torch.uint8), torch.tensor([0, 0, 1, 3]))
    [axes] = samples(images, ["a", "b", "c", "d"], lambda chosen: chosen.images + 1.0, each=4).axes
    shown = np.asarray(axes.images[0].get_array())[14::31, 14::31]
    assert shown.tolist() == [[9, 9, 10, 10], [9, 0, 10, 0], [0, 0, 0, 0], [9, 0, 10, 0]]


def test_augmentation_that_crops_is_shown_in_the_middle():
    images = ImageSet(torch.full((2, 1, 28, 28), 9, dtype=torch.uint8), torch.tensor([0, 1]))
    [axes] = samples(images, ["a", "b"], lambda chosen: chosen.images[:, :, 2:-2, 3:-3] + 1.0, each=2).axes
    cropped = np.asarray(axes.images[0].get_array())[3:31, 31:59]
    assert (cropped[2:-2, 3:-3] == 10).all()
    assert cropped.sum() == 10 * 24 * 22


def test_pictures_on_a_light_ground_are_drawn_as_they_are():
    light = torch.full((3, 1, 28, 28), 240, dtype=torch.uint8)
    light[..., 10:12] = 0
    for images, colours, paper in ((light, "gray", 255), (255 - light, "gray_r", 0)):
        [axes] = samples(ImageSet(images, torch.tensor([0, 0, 1])), ["a", "b"], each=2).axes
        assert axes.images[0].cmap.name == colours
        assert (np.asarray(axes.images[0].get_array())[31:, 31:] == paper).all()  # the second of b: none


def test_names_of_classes_do_not_run_into_each_other_above_the_mistakes():
    images = ImageSet(torch.zeros(19, 1, 28, 28, dtype=torch.uint8), torch.arange(19) % 9)
    wrong = [{"image": str(i), "label": str(i % 9), "predicted": "9", "probability": "0.5"} for i in range(19)]
    figure = mistakes(images, wrong, "gap on FashionMNIST, seed 1", [f"Ankle boot {i}" for i in range(10)])
    figure.draw_without_rendering()
    [axes] = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 19
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    image_of = [axes.transData.transform((31 * (i % 10), axes.get_ylim()[0] - 28))[1] for i in range(10, 19)]
    assert all(low <= box.y0 for box, low in zip(boxes[10:], image_of, strict=True))  # over its image, not on it


def test_a_test_without_mistakes_has_a_picture_that_says_so():
    images = ImageSet(torch.zeros(1, 1, 28, 28, dtype=torch.uint8), torch.zeros(1))
    right = [{"image": "0", "label": "0", "predicted": "0", "probability": "1"}]
    figure = mistakes(images, right, "gap")
    assert "0 wrong of 1" in figure.get_suptitle()
    assert not [axes for axes in figure.axes if axes.images or axes.axison]


def test_no_accuracy_on_the_axis_is_rounded_to_all():
    history = [{"epoch": 1, "train/loss": 2, "val/loss": 2, "train/acc": 0.3, "val/acc": 0.1},
               {"epoch": 2, "train/loss": 0.1, "val/loss": 0.1, "train/acc": 0.9993, "val/acc": 0.99}]  # fmt: skip
    axes = curves(history, "gap", watched=False).axes[1]
    assert [label.get_text() for label in axes.get_yticklabels()][-3:] == ["99.5%", "99.8%", "99.9%"]
