"""metrics.json: the record of a run, typed and versioned. All that write, read or show one do it through here."""

import json
import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mnist_cnn.errors import RunError
from mnist_cnn.files import MIB, read_text, write_atomically
from mnist_cnn.runs.earlier import DIGESTS

T = TypeVar("T")
MOST = 64 * MIB  # the confusion of a thousand classes
VERSION = 2  # 1: before 0.2.0, when the digest of the settings hung on where the code lay
Status = Literal["running", "completed", "failed", "interrupted", "pruned"]


def known(field: T | None) -> T:
    """A field that only a run which has come far enough has: described, or completed."""
    assert field is not None
    return field


class _Part(BaseModel):
    """Unknown keys are kept: a record of a later version can be read, shown and written again."""

    model_config = ConfigDict(extra="allow", serialize_by_alias=True, populate_by_name=True)


class Parameters(_Part):
    """Numbers of the net: all that are stored (moving averages included, as Keras counts), and those trained."""

    total: int
    trainable: int


class Protocol(_Part):
    """Which images did what. `own`: a LightningDataModule of the user's, which may not tell how many it has.
    `read_after`: the epochs after which the test images were read, of a run that went on after it had read them.
    `images`: digests of images and labels by split (`train`, `val`, `test`) where no published checksum vouches for the
    files; of those for training before any are put aside.
    """

    dataset: str
    verified: bool
    validate_on: Literal["holdout", "test", "own"]
    split_seed: int | None
    test_images_watched: bool
    summary: str
    train_images: int | None = None
    val_images: int | None = None
    test_images: int | None = None
    test: Literal["once", "never", "unlabelled", "none"] = "once"
    class_names: list[str] | None = None
    fold: int | None = None
    folds: int | None = None
    read_after: list[int] | None = None
    images: dict[str, str] | None = None


class Figures(_Part):
    """Accuracies in [0, 1] and mean losses: of the last epoch, of the best one, and of the test; with whatever else
    was measured, under its own name.

    The last epoch's validation is None where it had none; without any validation there is no best epoch. A run whose
    model is somebody's own LightningModule has what that logs.
    """

    best_epoch: int | None
    train_acc: float | None = Field(None, alias="train/acc")
    train_loss: float | None = Field(None, alias="train/loss")
    val_acc: float | None = Field(None, alias="val/acc")
    val_loss: float | None = Field(None, alias="val/loss")
    best_acc: float | None = Field(None, alias="best/acc")
    best_loss: float | None = Field(None, alias="best/loss")
    test_loss: float | None = Field(None, alias="test/loss")
    test_acc: float | None = Field(None, alias="test/acc")

    def __getitem__(self, name: str) -> Any:
        """By the name that metrics.json has: `test/acc`; None where it was not measured."""
        return self.model_dump().get(name)


class Timing(_Part):
    """Seconds over all epochs, also those before a resume.

    `train_seconds` leaves validation out; `start_seconds` runs from the start of the process to the end of its first
    step, None where the system does not tell.
    """

    fit_seconds: float
    epoch_seconds: float
    images_per_second: float
    train_seconds: float | None = None
    start_seconds: float | None = None


class Git(_Part):
    """The commit of the package's own checkout; `dirty`: tracked files were changed."""

    commit: str
    dirty: bool


class Hardware(_Part):
    """What the run was trained on."""

    device: str
    cpu: str
    cores: int | None
    threads: int
    platform: str


class Record(_Part):
    """What is known of a run: a little from its first moment on, all of it when it is completed.

    `config_digest` is the same for runs that differ in nothing but the seed; compare by `settings`, which reads those
    of version 1 too. `confusion`: counts, a row per true class. `higher_is_better`: of each figure of the group
    `metrics`, as it says itself. `monitor`, `mode`: the figure that chose the best epoch, where it is neither a
    loss nor an accuracy of ours. `averaging`: the callback whose averages of the weights were validated, saved and
    tested. `expected_epoch_seconds`: as foretold when it began. `own_code`: digests of the files with
    classes of the user's own, by module; `earlier_code`: those that a resumed run was begun with, where they changed.
    """

    version: int = 1
    status: Status
    seed: int
    pid: int | None = None
    error: str | None = None
    error_type: str | None = None
    model: str | None = None
    parameters: Parameters | None = None
    protocol: Protocol | None = None
    batch_size: int | None = None
    max_epochs: int | None = None
    precision: str | None = None
    config_digest: str | None = None
    versions: dict[str, str | None] | None = None
    numerics: int | None = None
    git: Git | None = None
    hardware: Hardware | None = None
    command: list[str] | None = None
    own_code: dict[str, str] | None = None
    earlier_code: dict[str, list[str]] | None = None
    test_weights: Literal["best", "last"] | None = None
    test_epoch: int | None = None
    averaging: str | None = None
    epochs: int | None = None
    figures: Figures | None = None
    confusion: list[list[int]] | None = None
    higher_is_better: dict[str, bool | None] | None = None
    monitor: str | None = None
    mode: Literal["min", "max"] | None = None
    timing: Timing | None = None
    expected_epoch_seconds: float | None = None

    @property
    def completed(self) -> bool:
        return self.status == "completed"

    @property
    def diverged(self) -> bool:
        """It would again."""
        return self.error_type == "Diverged"

    @property
    def settings(self) -> str | None:
        """The digest of the settings, as today's configurations have it."""
        return self.config_digest if self.version > 1 else DIGESTS.get(self.config_digest or "", self.config_digest)

    @property
    def results(self) -> Figures:
        """The figures of a completed run."""
        return known(self.figures)

    @property
    def alike(self) -> Hashable:
        """The same for runs that differ in nothing but the seed: by digest, or by what the earliest have instead.

        Images and code of the user's own are held against each other by `sameness`: earlier records do not have them.
        """
        instead = (self.epochs, self.max_epochs, self.batch_size, self.precision, self.test_weights)
        return (
            known(self.protocol).model_dump_json(exclude={"class_names", "verified", "images"}), self.model or "",
            known(self.parameters).trainable, self.numerics or 0, self.settings or repr(instead),
        )  # fmt: skip

    @property
    def outcome(self) -> str:
        """The same for a run and its copy or exact repetition: timings may differ."""
        return f"{self.seed} {self.results.model_dump_json()} {self.confusion}"

    @property
    def validation(self) -> float | None:
        """What runs are ranked by: accuracy, or `monitor`; None where no image validated.

        Of the weights that the test measured; of the best epoch where the last had no validation.
        """
        name, figures = self.monitor or "val/acc", self.measured()
        of_best = f"val/{name.removeprefix('val/')}"  # also of a name without a split, as in somebody's own module
        return figures.get(name if self.test_weights == "last" and name in figures else of_best)

    def measured(self) -> dict[str, float]:
        """All figures of a completed run; `val/...` are those of the weights that the test measured."""
        figures = self.results.model_dump(exclude_none=True, exclude={"best_epoch"})
        best = {name.replace("best/", "val/"): value for name, value in figures.items() if name.startswith("best/")}
        last = {name: value for name, value in figures.items() if not name.startswith("best/")}
        return last | best if self.test_weights != "last" else best | last

    @property
    def test(self) -> float | None:
        """The same of the test images; None where they were not read."""
        return self.results[(self.monitor or "val/acc").replace("val/", "test/", 1)]

    def shown(self, value: float | None) -> str:
        """One of the two as text."""
        if value is None:
            return ""
        return f"{value:.2%}" if self.monitor is None else f"{value:.4f}"

    @property
    def rank(self) -> float:
        """`validation`, the higher the better; below all others without any."""
        if self.validation is None:
            return -math.inf
        return -self.validation if self.mode == "min" else self.validation

    def dump(self) -> dict[str, Any]:
        """As metrics.json has it: only what has been set."""
        return self.model_dump(mode="json", exclude_unset=True)

    def save(self, file: Path) -> None:
        text = json.dumps(self.dump(), indent=2) + "\n"
        text = re.sub(r"\[[\d\s,]+\]", lambda row: " ".join(row[0].split()), text)  # a row of numbers in one line
        write_atomically(file, text.encode())

    @classmethod
    def load(cls, file: Path) -> "Record":
        """Reads a metrics.json of any version.

        Raises:
            RunError: not there, or not the record of a run.
        """
        try:
            return cls.model_validate_json(read_text(file, RunError, MOST))
        except ValidationError as error:
            words = f"not the record of a run ({in_words(error)}); move it away, and resume= writes it anew"
            raise RunError(f"{file}: {words}") from None


def in_words(error: ValidationError) -> str:
    """The first thing that is wrong, with its place."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}{': ' * bool(where)}{first['msg']}"
