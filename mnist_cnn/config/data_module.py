"""The data module of the Python interface: MNIST and arrays, with the defaults of conf/ for what is left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch

from mnist_cnn.config.compose import data_defaults
from mnist_cnn.config.python_values import plain
from mnist_cnn.config.signatures import check_node
from mnist_cnn.data import arrays, datamodule
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.errors import ConfigError


class DataOptions(TypedDict, total=False):
    """Arguments of `MNISTDataModule`; what they mean and their ranges stand there."""

    dataset: str
    root: str | Path | None
    md5: dict[str, str] | str | None
    prepare: str
    class_names: list[str] | None
    batch_size: int
    eval_batch_size: int
    validate_on: str
    validation_size: int | float
    fold: int | None
    folds: int
    split_seed: int
    fraction: float
    imbalance: float | list[float] | None
    balanced: bool
    seed: int
    num_workers: int
    pin_memory: str | bool
    limit_train: int | None
    limit_val: int | None
    limit_test: int | None
    divide_by: float
    augment: torch.nn.Module | None


class MNISTDataModule(datamodule.MNISTDataModule):
    """MNIST for anyone's LightningModule and Trainer; what is left out is as in conf/data/mnist.yaml.

    Another `dataset` is held against its own MD5 where conf/data has them, else taken as it is.

    Raises:
        ConfigError: an unknown argument or a value out of range.
    """

    def __init__(self, **options: Unpack[DataOptions]) -> None:
        given = {key: plain(value) for key, value in options.items() if key != "augment"}
        node = data_defaults(given.get("dataset")) | given
        problems = check_node(node, "data", datamodule.MNISTDataModule)
        if problems:
            raise ConfigError(problems)
        del node["_target_"]
        super().__init__(**node, augment=options.get("augment"))

    @staticmethod
    def from_arrays(images: Any, labels: Any, test: tuple[Any, Any] | None = None, **options: Any) -> ImageDataModule:
        """Images and labels that are there already; what is left out is as in conf/data/arrays.yaml.

        Args:
            images: (N, height, width), perhaps with colours, from 0 to 255, or floats from 0 to 1.
            labels: (N,) whole numbers from 0 on.
            test: the same two for the test; None to put a share of each class aside (`test_share`).

        Raises:
            DataError, ConfigError: arrays or arguments that cannot be used.
        """
        given = arrays.by_split((images, labels) if test is None else ((images, labels), test))
        node = data_defaults(kind="arrays") | {k: plain(v) for k, v in options.items() if k != "augment"}
        problems = check_node(node, "data", arrays.ArraysDataModule)
        if problems:
            raise ConfigError(problems)
        del node["_target_"]
        data = arrays.HeldArraysDataModule(given, **node, augment=options.get("augment"))
        data.prepare_data()  # what is wrong with them is said here
        return data


def with_saved_arrays(overrides: Sequence[str], settings: dict[str, Any]) -> tuple[dict[str, Any], list[Path]]:
    """Arrays that are given as `data` as files below the folder of the runs, which resume and evaluate from them.

    Returns:
        the settings that name them, and the files that were not there before.

    Raises:
        DataError: neither names nor arrays, or arrays that cannot be used, before they are written.
    """
    given = settings.get("data", "")
    if isinstance(given, str) or (isinstance(given, list | tuple) and all(isinstance(each, str) for each in given)):
        return settings, []
    splits = arrays.by_split(given)
    pairs = {split: (each["images"], each["labels"]) for split, each in splits.items()}
    MNISTDataModule.from_arrays(*pairs["train"], pairs.get("test"))  # what is wrong with them is said here
    roots = [text.partition("=")[2] for text in overrides if text.startswith("run_root=")]
    root = Path(settings.get("run_root", roots[-1] if roots else "runs"))
    paths, new = arrays.save(splits, root / "arrays")
    others = {key: value for key, value in settings.items() if key != "data"}
    return {"data": "arrays"} | {f"data.{split}": path for split, path in paths.items()} | others, new
