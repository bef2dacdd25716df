"""Data sets in MNIST's format that torchvision knows: their files, and what is odd about them."""

from dataclasses import dataclass

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class Preset:
    """How the four files of a set lie below the root, and how they are read.

    Args:
        torchvision: name of its class there, which knows mirrors and checksums.
        folder: below the root, as torchvision lays it out.
        files: uncompressed: images and labels for training, then for the test.
        sizes: how many images they have, for training and for the test.
        first_label: number of the first class in the files; ours count from 0.
        label_columns: dimensions of the label files; of two, the first column is the class.
        lies_on_its_side: rows and columns are swapped in the files.
        handwritten: so that a picture is best made as MNIST's were.
    """

    torchvision: str
    folder: str
    files: tuple[str, ...] = FILES
    sizes: tuple[int, int] = (60_000, 10_000)
    first_label: int = 0
    label_columns: int = 1
    lies_on_its_side: bool = False
    handwritten: bool = True


def _emnist(split: str, first_label: int, sizes: tuple[int, int]) -> Preset:
    kinds = ("train-images-idx3", "train-labels-idx1", "test-images-idx3", "test-labels-idx1")
    files = tuple(f"emnist-{split}-{kind}-ubyte" for kind in kinds)
    return Preset("EMNIST", "EMNIST", files, sizes, first_label, lies_on_its_side=True)


PRESETS = {
    "MNIST": Preset("MNIST", "MNIST"),
    "FashionMNIST": Preset("FashionMNIST", "FashionMNIST", handwritten=False),
    "KMNIST": Preset("KMNIST", "KMNIST"),
    "QMNIST": Preset(
        "QMNIST", "QMNIST",
        ("qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int",
         "qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int"),
        sizes=(60_000, 60_000),
        label_columns=2,
    ),
    "EMNISTLetters": _emnist("letters", 1, (124_800, 20_800)),
    "EMNISTBalanced": _emnist("balanced", 0, (112_800, 18_800)),
}  # fmt: skip


def preset(dataset: str) -> Preset:
    """What is known of a data set; a user's own lies and is read as MNIST is."""
    return PRESETS.get(dataset) or Preset(dataset, dataset)
