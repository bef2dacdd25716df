"""What a user's own pictures have in common, whether they lie in folders, in a table or in arrays."""

import functools
import logging
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mnist_cnn.data import splits
from mnist_cnn.data.base import ImageDataModule, TestImages
from mnist_cnn.data.images import MOST_CLASSES, UNKNOWN, ImageSet, require_classes
from mnist_cnn.data.photo import Preparation
from mnist_cnn.errors import DataError
from mnist_cnn.values import PathName, Share

log = logging.getLogger(__name__)
Split = Literal["train", "val", "test"]
NAMED = 5  # classes of a message


class Labels(NamedTuple):
    """Labels of a split as the files have them, one for each image, and the place to name in an error."""

    values: list[int]
    where: str


class OwnDataModule(ImageDataModule):
    """Pictures of a user's own, for training and perhaps for validation and the test.

    A subclass says where they are (`path_of`), and reads labels and images.

    Args:
        dataset: name in reports; None for that of the folder or file.
        root: folder that `train`, `val` and `test` lie in; None for the working folder.
        train, val, test: None for the usual name, of which the last two need not be there. Where there are images for
            validation they validate, instead of a part of those for training, unless `val` is False, or `fold` or
            `validation_size=0` says otherwise.
        test_share: where there are no test images: this share of each class is put aside as such, by `split_seed`.
        prepare: how pictures of other sizes and colours become 28 x 28 and grey; see `picture.prepared`.
        options: of `ImageDataModule`.
    """

    usual: dict[str, str]  # names of the files by split

    def __init__(
        self,
        dataset: str | None,
        root: PathName | None,
        train: PathName | None,
        val: PathName | Literal[False] | None,
        test: PathName | None,
        test_share: Share,
        prepare: Preparation,
        **options: Any,
    ) -> None:
        super().__init__(root=root if root is not None else ".", **options)
        self.given = {"train": train, "val": val, "test": test}
        self.test_share, self.preparation = test_share, prepare
        self.dataset = dataset or self._usual_name()
        self._known: dict[str, Labels | None] = {}

    def labels(self, split: Split) -> Labels | None:
        """Of all images of a file or folder; None where it has none.

        Raises:
            DataError: what is wrong with it, by name.
        """
        raise NotImplementedError

    def pixels(self, split: Split) -> Tensor:
        """(N, 28, 28) uint8, in the order of the labels."""
        raise NotImplementedError

    def files(self, split: Split) -> list[str] | None:
        """Of each image, seen from `root`; None where all are in one."""
        return None

    def image_names(self) -> list[str]:
        """What a submission calls the test images."""
        return [str(number) for number in range(1, len(self.splits["test"]) + 1)]

    def path_of(self, split: Split) -> Path | None:
        """Of the split's file or folder; None where there are none of their own for validation, or for the test.

        Raises:
            DataError: it is not there.
        """
        given = self.given[split]
        if given is False:
            return None
        path = self.root / (given or self.usual[split])
        if path.exists():
            return path
        if split != "train" and given is None:
            return None
        keys = f"data.{split}={given or 'null'}, data.root={self.root}; where a run is read, data_root="
        raise DataError(f"{path}: no such file or folder{seen_from(path)} ({keys})")

    def prepare_data(self) -> None:
        """Checks the files and the labels of all splits; the test images themselves are not read."""
        self._numbered("train")
        others = {"data.fold": self.fold is not None, "data.validate_on=test": self.validate_on == "test",
                  "data.validation_size=0": self.validation_size == 0}  # fmt: skip
        for key in [key for key, said in others.items() if said and self.given["val"]]:
            raise DataError(f"data.val = {self.given['val']}: not with {key}, which validates otherwise")
        if self.path_of("test") is not None:
            self._numbered("test")

    @property
    def class_names(self) -> list[str]:
        return list(self._numbers.values())

    @property
    def test_images(self) -> TestImages:
        if self.path_of("test") is not None:
            return "unlabelled" if self._numbered("test") is None else "labelled"
        return "labelled" if self.test_share else "none"

    def setup(self, stage: str | None = None) -> None:
        """As of all, with a word on classes that validation or test cannot say anything of."""
        before = set(self.splits)
        super().setup(stage)
        for split in [name for name in ("val", "test") if name in self.splits and name not in before]:
            if getattr(self, f"limit_{split}") is not None:
                continue  # asked for few
            there = set(self.splits[split].labels.tolist()) - {UNKNOWN}
            missing = [name for number, name in enumerate(self.class_names) if number not in there]
            if there and missing:
                kind = {"val": "validation", "test": "test"}[split]
                more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
                named = ", ".join(missing[:NAMED]) + more
                log.warning(f"{self.dataset}: no {kind} image of class {named}: the {kind} figures leave that out")

    @property
    def validates_apart(self) -> bool:
        """On images of their own."""
        held_out = self.validate_on == "holdout" and self.fold is None and self.validation_size != 0
        return held_out and self.path_of("val") is not None

    def protocol(self) -> dict[str, Any]:
        remarks = []
        if self.validates_apart and (apart := self.path_of("val")) is not None:
            remarks.append(f"validation on {apart.name}, which is apart from the images for training")
        if self.path_of("test") is None and self.test_share:
            remarks.append(f"test images are {self.test_share:.0%} of each class, put aside from training")
        return super().protocol() | {"remarks": remarks}

    def _split(self, images: ImageSet) -> tuple[ImageSet, ImageSet]:
        if not self.validates_apart:
            return super()._split(images)
        return images, self._images("val", self._numbered("val"))

    def read(self, split: Literal["train", "test"]) -> ImageSet:
        if self.path_of("test") is None and self.test_share:
            labels = self._numbered("train")
            assert labels is not None
            rest, test = splits.stratified(labels, self.test_share, self.split_seed)
            return self._images("train", labels).chosen(rest if split == "train" else test)
        return self._images(split, self._numbered(split))

    def _images(self, split: Split, labels: Tensor | None) -> ImageSet:
        pixels = self.pixels(split)
        if labels is None:
            labels = torch.full((len(pixels),), UNKNOWN)
        if len(labels) != len(pixels):
            raise DataError(f"{self.path_of(split)}: {len(labels)} labels for {len(pixels)} images")
        images = ImageSet(pixels.unsqueeze(1), labels, files=self.files(split))
        self.digests[split] = images.digest
        return images

    @functools.cached_property
    def _numbers(self) -> dict[int, str]:
        """Names of the classes by the labels that the files have."""
        found = self._labels_once("train")
        assert found is not None
        distinct = sorted(set(found.values))
        if distinct and not 0 <= distinct[0] <= distinct[-1] < MOST_CLASSES:
            wrong = distinct[0] if distinct[0] < 0 else distinct[-1]
            raise DataError(f"{found.where}: label {wrong}; needed: whole numbers from 0 to {MOST_CLASSES - 1}")
        names = self.given_names or [str(label) for label in distinct]
        require_classes(names, found.where)
        if self.given_names is None:
            return dict(zip(distinct, names, strict=True))
        if distinct[-1] >= len(names):
            raise DataError(f"{found.where}: label {distinct[-1]}; data.class_names has only {len(names)} names")
        if missing := set(range(len(names))) - set(distinct):
            raise DataError(f"{found.where}: no image of class {min(missing)}, {names[min(missing)]!r}")
        return dict(enumerate(names))

    def _numbered(self, split: Split) -> Tensor | None:
        """Labels as numbers of the classes from 0 on."""
        found = self._labels_once(split)
        if found is None:
            return None
        if not found.values:
            raise DataError(f"{found.where}: no images")
        numbers = {label: number for number, label in enumerate(self._numbers)}
        unknown = [label for label in found.values if label not in numbers]
        if unknown:
            allowed = ", ".join(str(label) for label in self._numbers)
            raise DataError(f"{found.where}: label {unknown[0]}, which no training image has (they have {allowed})")
        return torch.tensor([numbers[label] for label in found.values])

    def _labels_once(self, split: Split) -> Labels | None:
        if split not in self._known:
            self._known[split] = self.labels(split)
        if self._known[split] is None and split != "test":
            needs = {"train": "training", "val": "validation"}[split]
            raise DataError(f"{self.path_of(split)}: has no labels, which {needs} needs")
        return self._known[split]

    def _usual_name(self) -> str:
        given = self.given["train"]
        return self.root.resolve().name if not given or self.root != Path() else Path(given).stem


def seen_from(path: Path) -> str:
    """The working folder, for a path that depends on it."""
    return "" if path.is_absolute() else f", seen from {Path.cwd()}"
