"""A digit on a picture becomes 28 x 28 pixels as MNIST's are."""

import numpy as np
import pytest

from mnist_cnn.data.photo import prepare_photo


def seven(height: int, width: int, ink: int = 10, paper: int = 250, pen: int = 5) -> np.ndarray:
    """A bar and a slanted stroke: 40 high and 30 wide, its corner at row 20 and column 30."""
    page = np.full((height, width), paper, np.uint8)
    page[20 : 20 + pen, 30:60] = ink
    for row in range(40):
        left = 60 - pen - row // 2
        page[20 + row, left : left + pen] = ink
    return page


def centre(image: np.ndarray) -> tuple[float, float]:
    weights = image / image.sum()
    return float((weights.sum(1) * np.arange(28)).sum()), float((weights.sum(0) * np.arange(28)).sum())


def sides(image: np.ndarray) -> tuple[int, int]:
    return int(np.ptp(np.flatnonzero(image.any(1)))) + 1, int(np.ptp(np.flatnonzero(image.any(0)))) + 1


def test_a_digit_is_fitted_into_its_box_and_centred_by_mass():
    found = prepare_photo(seven(150, 140))
    assert found.image.dtype == np.uint8
    assert found.ink == "dark"
    assert found.box == (20, 30, 60, 60)
    assert not found.warnings
    assert sides(found.image) == (20, 15)  # proportions kept
    assert centre(found.image) == pytest.approx((14, 14), abs=0.5)
    assert found.image.max() == 255
    assert len(np.unique(found.image)) > 2  # grey at the edges


def test_white_on_black_is_the_same_digit_and_so_is_colour_and_transparency():
    page = seven(150, 140, ink=0, paper=255)
    plain = prepare_photo(page)
    board = prepare_photo(255 - page)
    assert (plain.ink, board.ink) == ("dark", "light")
    assert np.array_equal(plain.image, board.image)
    assert np.array_equal(prepare_photo(np.stack([page] * 3, -1)).image, plain.image)
    clear = np.zeros((150, 140, 4), np.uint8)
    clear[..., 3] = 255 - page  # black ink over nothing
    assert np.array_equal(prepare_photo(clear).image, plain.image)


def test_a_digit_like_mnists_is_left_as_it_is():
    digit = prepare_photo(seven(150, 140)).image
    assert prepare_photo(digit).image is digit
    assert prepare_photo(digit).ink == "as it is"
    assert np.array_equal(prepare_photo(255 - digit).image, digit)
    moved = np.roll(digit, 3, axis=1)
    assert centre(prepare_photo(moved).image) == pytest.approx((14, 14), abs=0.6)


@pytest.mark.parametrize("pen", [1, 12])
def test_a_stroke_is_brought_to_a_usual_width(pen: int):
    usual = prepare_photo(seven(150, 140)).image.astype(float).sum()
    assert 0.6 < prepare_photo(seven(150, 140, pen=pen)).image.astype(float).sum() / usual < 2  # of 0.2 and 2.4


def test_uneven_light_noise_dust_and_the_edge_of_the_paper_are_no_ink():
    chance = np.random.default_rng(1)
    page = seven(300, 280).astype(float)
    page *= np.linspace(0.4, 1, 280) * np.linspace(1, 0.7, 300)[:, None]
    page += chance.normal(0, 4, page.shape)
    page[270:272, 200:202] = 0  # dust
    page[:, :8] = 0  # a table beside the paper
    found = prepare_photo(page.clip(0, 255).astype(np.uint8))
    assert found.ink == "dark"
    assert found.box == pytest.approx((20, 30, 60, 60), abs=3)


def test_a_large_picture_is_made_coarser_and_a_tiny_one_finer():
    page = seven(150, 140)
    large = prepare_photo(page.repeat(10, 0).repeat(10, 1))
    assert large.box == pytest.approx((200, 300, 600, 600), abs=6)
    assert np.abs(large.image.astype(int) - prepare_photo(page).image).mean() < 3
    eight = np.zeros((8, 8), np.uint8)
    eight[1:7, 3:5] = 255
    assert sides(prepare_photo(eight).image) == (20, 5)  # no pen of MNIST's is as wide


def test_a_tiny_picture_may_be_cut_to_the_digit():
    shape = np.array([[1, 1, 1, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]], np.uint8)
    cut = shape.repeat(2, 0).repeat(2, 1) * 255
    found = prepare_photo(cut)
    assert found.ink == "light"
    assert np.abs(found.image.astype(int) - prepare_photo(np.pad(cut, 2)).image).mean() < 20
    assert np.array_equal(found.image, prepare_photo(255 - cut).image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (5, 2), (300, 300)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_where_there_is_no_ink_it_is_said(shape: tuple[int, int], value: int):
    found = prepare_photo(np.full(shape, value, np.uint8))
    assert not found.image.any()
    assert (found.ink, found.warnings) == ("none", ("no ink was found",))


def test_what_may_be_no_digit_is_said():
    faint = prepare_photo(seven(150, 140, ink=230))
    assert faint.image.any()
    assert faint.warnings == ("its ink is only 20 of 255 grey levels from its paper",)
    cut = prepare_photo(seven(150, 140)[:, :45])
    assert cut.warnings == ("its ink reaches the edge",)


def test_random_pictures_always_give_an_image():
    chance = np.random.default_rng(2)
    for _ in range(40):
        shape = (*chance.integers(1, 90, 2), *[(), (3,), (4,)][chance.integers(3)])
        found = prepare_photo(chance.integers(0, 256, shape, dtype=np.uint8))
        assert found.image.shape == (28, 28)
        assert found.image.dtype == np.uint8
