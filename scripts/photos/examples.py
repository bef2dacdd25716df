"""Draws the pictures of examples/photos from validation digits of MNIST: five digits, and a page with lines of them.

python scripts/photos/examples.py examples/photos
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from photographs import CLEAN, LEVELS, photograph
from PIL import Image

import mnist_cnn as mc

SEED = 7
LINES = ((2, 7, 1, 8, 2, 8), (1, 8, 2, 8), (4, 5, 9, 0, 4, 5))


def main(folder: Path) -> None:
    data = mc.MNISTDataModule()
    data.setup("fit")
    digits, labels = data.splits["val"].images.numpy()[:, 0], data.splits["val"].labels.numpy()
    chance = np.random.default_rng(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    for number in (2, 3, 5, 7, 9):
        conditions = replace(LEVELS["medium"], side=(250, 450))
        pixels = photograph(digits[chance.choice(np.flatnonzero(labels == number))], conditions, chance).pixels
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=85)
    page = np.full((600, 1050, 3), (244, 240, 228), np.float32)
    for row, line in enumerate(LINES):
        for column, number in enumerate(line):
            digit = digits[chance.choice(np.flatnonzero(labels == number))]
            drawn = photograph(digit, replace(CLEAN, side=(150, 150), pen=(1.6, 2.6)), chance).pixels
            top, left = 25 + 185 * row + int(chance.integers(0, 15)), 40 + 165 * column
            place = page[top : top + drawn.shape[0], left : left + drawn.shape[1]]
            np.minimum(place, drawn, out=place)
    page *= np.linspace(1, 0.55, page.shape[1])[None, :, None]
    noisy = page + chance.normal(0, 4, page.shape)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / "page.jpg", quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
