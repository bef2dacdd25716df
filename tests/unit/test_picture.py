"""Pictures of any size and colour as 28 x 28 grey."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_cnn.data.picture import prepared, to_28, to_grey
from mnist_cnn.errors import DataError


def test_a_fine_pattern_is_averaged_not_sampled():
    stripes = np.zeros((280, 280), np.uint8)
    stripes[:, ::2] = 255
    assert prepared(Image.fromarray(stripes), "resize").image == pytest.approx(127.5, abs=8)


def test_sixteen_bits_and_transparency_become_eight_bits_on_paper():
    deep = Image.fromarray(np.array([[0, 65535], [32768, 257]], np.uint16))
    assert np.asarray(to_grey(deep)).tolist() == [[0, 255], [128, 1]]
    unit = Image.fromarray(np.array([[0, 1], [0.5, 0.25]], np.float32))  # as in [0, 1] as floats are
    assert np.asarray(to_grey(unit)).tolist() == [[0, 255], [128, 64]]
    drawn = Image.new("RGBA", (5, 5), (0, 0, 0, 0))
    drawn.putpixel((2, 2), (0, 0, 0, 255))
    grey = np.asarray(to_grey(drawn))
    assert (grey[2, 2], grey[0, 0]) == (0, 255)


def test_arrays_of_other_sizes_are_prepared_and_it_is_said_once(caplog):
    caplog.set_level(logging.INFO)
    colour = torch.full((3, 56, 40, 3), 100, dtype=torch.uint8)
    assert to_28(colour, "resize", "pets").unique().tolist() == [100]
    [record] = caplog.records
    assert "pets: pictures of 40 x 56 pixels, in colour, made 28 x 28 grey (data.prepare=resize)" in record.message
    ready = torch.zeros((2, 28, 28), dtype=torch.uint8)
    assert to_28(ready, "resize", "digits") is ready
    assert len(caplog.records) == 1
    with pytest.raises(DataError, match="2 x 2 pixels"):
        to_28(torch.zeros((1, 2, 2), dtype=torch.uint8), "resize", "dots")
