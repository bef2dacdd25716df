"""A user's own data of three kinds in one folder: pictures by class, tables, arrays."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10


def bars(count: int, height: int = 28, width: int = 28, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, height, width) uint8 noise with a bright bar whose place tells the class, and (N,) labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = random.integers(0, 80, (count, height, width)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        top = 4 + (height - 8) * label // CLASSES
        image[top : top + 2, 4 : width - 4] = 255
    return images, labels


def write_folders(root: Path, count: int, shape: tuple[int, int] = (30, 32), labelled: bool = True) -> None:
    """root/CLASS/*.png, or root/*.png; every third picture in colour."""
    for number, (image, label) in enumerate(zip(*bars(count, *shape), strict=True)):
        folder = root / f"class_{label}" if labelled else root
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image)
        (picture.convert("RGB") if number % 3 == 0 else picture).save(folder / f"{number:03}.png")


def table(images: np.ndarray, labels: np.ndarray | None, header: bool = True) -> str:
    """As Kaggle writes digits."""
    names = ["label"] * (labels is not None) + [f"pixel{i}" for i in range(784)]
    rows = images.reshape(len(images), -1).tolist()
    if labels is not None:
        rows = [[label, *row] for label, row in zip(labels.tolist(), rows, strict=True)]
    return "\n".join([",".join(names)] * header + [",".join(map(str, row)) for row in rows]) + "\n"


def write_all(root: Path, train: int = 120, test: int = 40) -> None:
    """train and test as folders, as .csv and as .npz; the tables' test has no labels."""
    write_folders(root / "train", train)
    write_folders(root / "test", test)
    (root / "train.csv").write_text(table(*bars(train)))
    (root / "test.csv").write_text(table(bars(test, seed=1)[0], None))
    for name, count in (("train", train), ("test", test)):
        images, labels = bars(count)
        np.savez(root / f"{name}.npz", images=images, labels=labels)
