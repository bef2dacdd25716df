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
    shown = np.array([axes.images[0].get_array()[0, 0] for axes in figure.axes]).reshape(2, 10)
    assert shown[:, :5].tolist() == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    assert (shown[:, 5:] > shown[:, :5]).all()
    assert [text.get_text() for text in (*figure.axes[0].texts, *figure.axes[10].texts)] == ["shirt", "bag"]
    plain = samples(images, ["shirt", "bag"])
    assert len([axes for axes in plain.axes if axes.images]) == 12


def test_names_of_classes_do_not_run_into_each_other_above_the_mistakes():
    images = ImageSet(torch.zeros(9, 1, 28, 28, dtype=torch.uint8), torch.arange(9))
    wrong = [{"image": str(i), "label": str(i), "predicted": "9", "probability": "0.5"} for i in range(9)]
    figure = mistakes(images, wrong, "gap on FashionMNIST, seed 1", [f"Ankle boot {i}" for i in range(10)])
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.images]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_no_accuracy_on_the_axis_is_rounded_to_all():
    history = [{"epoch": 1, "train/loss": 2, "val/loss": 2, "train/acc": 0.3, "val/acc": 0.1},
               {"epoch": 2, "train/loss": 0.1, "val/loss": 0.1, "train/acc": 0.9993, "val/acc": 0.99}]  # fmt: skip
    axes = curves(history, "gap", watched=False).axes[1]
    assert [label.get_text() for label in axes.get_yticklabels()][-3:] == ["99.5%", "99.8%", "99.9%"]
