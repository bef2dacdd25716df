"""The picture of the training images: as they are, and as augmentation shows them to the net."""

import numpy as np
import torch

from mnist_cnn.data.augment import Augmentation
from mnist_cnn.data.base import ImageSet
from mnist_cnn.report.plots import augmented, samples


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
