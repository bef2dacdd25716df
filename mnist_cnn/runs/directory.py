"""A run directory: what lies in it, who holds it, and how it is found again."""

import contextlib
import csv
import datetime
import io
import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities import rank_zero_only
from yaml import YAMLError

from mnist_cnn.config.build import with_defaults
from mnist_cnn.config.compose import searched
from mnist_cnn.config.place import import_from, net_meant
from mnist_cnn.config.schema import ROOT_KEYS
from mnist_cnn.config.signatures import check_keys
from mnist_cnn.errors import ConfigError, RunError, closest
from mnist_cnn.files import LOCK, read_yaml, remove_partial_files, write_atomically
from mnist_cnn.runs.earlier import with_present_names
from mnist_cnn.runs.layout import CONFIG, PLAN, Layout
from mnist_cnn.runs.record import Record

RUN_VARIABLE = "MNIST_CNN_RUN"  # tells the further processes of a training (DDP) which run it is
# What every saved configuration has: enough to be read. Whether it can be trained is for validation to say.
NEEDED = {
    "": {key: ROOT_KEYS[key] for key in ("seed", "test_weights")},
    **{f"{group}.": {} for group in ("model", "data", "callbacks")},
    "trainer.": {"_target_": str, "max_epochs": int},
}


class Run(Layout):
    """A run directory that can be trained into; creating the object touches nothing."""

    def held(self) -> AbstractContextManager[Any]:
        """Keeps other processes from training the same run, from this call to the end of `with` or of the process.

        What killed processes were writing goes.

        Raises:
            RunError: another process holds it.
        """
        if not is_first_process():
            return nullcontext()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(self.path / LOCK).acquire(timeout=0)
        except Timeout:
            what = "running this sweep" if (self.path / PLAN).is_file() else "training this run"
            raise RunError(f"{self.path}: another process is {what}") from None
        for folder in (self.path, self.checkpoints):
            remove_partial_files(folder)
        return lock

    @rank_zero_only
    def save_config(self, cfg: DictConfig, overrides: list[str]) -> None:
        """The full configuration with every value resolved, and what was asked for on the command line."""
        plain = [override.lstrip("+") for override in overrides]
        write_atomically(self.overrides_file, OmegaConf.to_yaml(plain).encode())
        write_atomically(self.config_file, OmegaConf.to_yaml(cfg, resolve=True).encode())  # last: it makes it a run

    def config(self) -> DictConfig:
        """The saved configuration, also of an earlier version.

        Raises:
            RunError: no run, or a file that cannot be read.
        """
        if not self.config_file.exists():
            raise RunError(f"{self.path}: not a run directory{self._instead()}")
        self.find_classes()
        problems = _problems(read_yaml(self.config_file, RunError))
        try:
            if not problems:
                return with_todays_keys(OmegaConf.load(self.config_file))
        except (OmegaConfBaseException, YAMLError) as error:
            problems = [f"cannot be read ({str(error).splitlines()[0]})"]
        raise RunError(f"{self.config_file}: {problems[0]}; put back what was there, or begin a new run")

    def _instead(self) -> str:
        """Why it is none, and which may have been meant."""
        if self.path.exists():
            within = (self.path.absolute().parent / CONFIG).is_file()
            hint = f"; it lies in one: did you mean {str(self.path.parent)!r}?" if within else ""
            return f" (no config.yaml){hint}"
        beside = [file.parent.name for file in self.path.parent.glob(f"*/{CONFIG}")]
        near = closest(self.path.name, beside)
        hint = f"; did you mean {str(self.path.parent / near)!r}?" if near else net_meant(self.path.name)
        return f": no such folder{hint}"

    def find_classes(self) -> None:
        """A user's own may lie where `--config-dir` was."""
        with contextlib.suppress(RunError, ConfigError):  # what was asked for cannot be read: all else may be whole
            import_from(searched(self.overrides()))

    @property
    def tested_checkpoint(self) -> Path:
        """The weights that it tested: the last where there was no validation to choose the best; else those it will."""
        asked, record = self.config().test_weights, self.record()
        return self.checkpoint(record.test_weights if record and record.test_weights else asked)

    @rank_zero_only
    def save_record(self, record: Record) -> None:
        record.save(self.metrics_file)

    @property
    def completed(self) -> bool:
        record = self.record()
        return record is not None and record.completed

    @property
    def unbegun(self) -> bool:
        """Whether no epoch was completed and saved, so that nothing is lost if training begins anew."""
        saved = any(self.checkpoint(which).exists() for which in ("last", "best"))
        return not (saved or len(self.history()) > 1 or self.completed)

    def save_predictions(
        self, rows: torch.Tensor, split: str, sources: Sequence[str] = (), names: Sequence[str] = ()
    ) -> None:
        """predictions.csv from (N, 3): label, predicted class, its probability; a row per image, in order.

        Args:
            sources: where each image came from; none where that is not known.
            names: of the classes, written beside their numbers unless they are the same.
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        called = list(map(str, names))
        names = [] if called == list(map(str, range(len(called)))) else called
        named = ["label_name", "predicted_name"] * bool(names)
        table.writerow(["image", "label", "predicted", "probability", *named, *["source"] * bool(sources)])
        for i, ((label, said, p), *source) in enumerate(zip(rows.tolist(), *[sources] * bool(sources), strict=False)):
            both = [names[int(label)], names[int(said)]] if names else []
            table.writerow([i, f"{label:.0f}", f"{said:.0f}", f"{p:.4f}", *both, *source])
        write_atomically(self.predictions_of(split), text.getvalue().encode(errors="backslashreplace"))


def _problems(tree: Any) -> list[str]:
    if not isinstance(tree, dict):
        return ["not the configuration of a run"]
    problems = check_keys(tree, ROOT_KEYS, "", open_ended=True)
    for prefix, keys in NEEDED.items():
        node = tree.get(prefix[:-1]) if prefix else tree
        if not isinstance(node, dict):
            return [f"{prefix[:-1]}: missing, or not a group of settings"]
        problems += [f"{prefix}{key}: missing" for key in keys if key not in node]
        problems += check_keys(node, keys, prefix, open_ended=True)
    return problems


def with_todays_keys(cfg: Any) -> DictConfig:
    """A saved configuration, also of an earlier version, as this one would have saved it."""
    return with_defaults(with_present_names(cfg))


def is_first_process() -> bool:
    """False in the further processes of one training (DDP), which write nothing."""
    return getattr(rank_zero_only, "rank", 0) == 0


def dated(folder: Path) -> Path:
    """A name below `folder` by the time, to the microsecond: two runs of a second must not share a directory."""
    return folder / datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def unfinished(root: Path) -> list[Run]:
    """Runs below `root` that began, did not complete and are not being trained, newest first.

    Not those that are over without: a search has stopped them, or they diverged and would again.
    """
    found = [Run(file.parent) for file in root.rglob("config.yaml")] if root.is_dir() else []
    candidates = [run for run in found if _is_unfinished(run)]
    return sorted(candidates, key=lambda r: r.config_file.stat().st_mtime_ns, reverse=True)


def _is_unfinished(run: Run) -> bool:
    try:
        record = run.record()
        over = record is not None and (record.status in ("completed", "pruned") or record.diverged)
        return not over and not run.busy and run.overrides() is not None
    except RunError:  # files that nothing can be told from
        return False


def move_aside(path: Path) -> None:
    """Renames a directory that is in the way to <name>.old1, .old2 and so on."""
    names = (path.with_name(f"{path.name}.old{number}") for number in itertools.count(1))
    path.rename(next(name for name in names if not name.exists()))
