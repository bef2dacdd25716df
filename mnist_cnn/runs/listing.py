"""All runs below a folder and what there is to say of each; without PyTorch, so that ten thousand take seconds."""

import contextlib
import datetime
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mnist_cnn.errors import RunError
from mnist_cnn.files import LOADER
from mnist_cnn.runs.layout import CONFIG, PLAN, Layout
from mnist_cnn.runs.record import Record

FACTS = ("run", "model", "seed", "status", "epochs", "max_epochs", "val/acc", "began", "age", "size")


@dataclass(frozen=True)
class ListedRun(Layout):
    """A run among others, each file of it read when it is first asked for.

    Args:
        root: the folder that was searched.
    """

    root: Path

    @cached_property
    def saved(self) -> Record | None:
        """The record; None where there is none yet, or one that cannot be read."""
        try:
            return self.record()
        except RunError:
            return None

    @cached_property
    def asked(self) -> dict[str, str]:
        """What was asked for, by key; nothing where that cannot be read."""
        try:
            return dict(text.lstrip("+").split("=", 1) for text in self.overrides() if "=" in text)
        except RunError:
            return {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All of config.yaml by dotted keys."""
        try:
            return dict(leaves(yaml.load(self._config, Loader=LOADER)))
        except (AttributeError, yaml.YAMLError):  # not a mapping, or no YAML
            return {}

    @cached_property
    def _config(self) -> str:
        try:
            return self.config_file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    def setting(self, key: str) -> Any:
        """One value of `settings`, without reading all the others; a group such as `model` by the name chosen."""
        found = _line_of(key).search(self._config)
        if found is None:
            return self.asked.get(key)
        return yaml.load(found[1], Loader=LOADER) if found[1] else self.asked.get(key, self.settings.get(key))

    @property
    def status(self) -> str:
        """As in the record, but `killed` where nobody trains it, `diverged`, and `unreadable`."""
        if self.saved is None:
            return "unreadable" if self.metrics_file.is_file() else "killed"
        if self.saved.status == "running":
            return "running" if self.busy else "killed"
        return "diverged" if self.saved.diverged else self.saved.status

    @property
    def in_sweep(self) -> bool:
        """Whether the summary of a sweep or search reads this run."""
        return (self.path.parent / PLAN).is_file()

    @property
    def began(self) -> float:
        """Seconds since 1970; 0 of a run that has been deleted meanwhile."""
        return self.config_file.stat().st_mtime if self.config_file.is_file() else 0.0

    @property
    def size(self) -> int:
        """Bytes of its files."""
        total = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # a training replaces its files meanwhile
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

    @property
    def validation(self) -> float | None:
        """Accuracy of the weights that were tested; of the best epoch where the run is not completed.

        None where none was measured, whatever else the run followed.
        """
        if self.saved is not None and self.saved.completed:
            return self.saved.measured().get("val/acc")
        try:
            return max((row["val/acc"] for row in self.history() if "val/acc" in row), default=None)
        except RunError:
            return None

    @property
    def model(self) -> str:
        """The chosen model or experiment; else, for what conf/train.yaml chooses, the class."""
        asked = self.asked.get("experiment") or self.asked.get("model")
        return asked or (self.saved.model if self.saved else None) or "?"

    def value(self, key: str) -> Any:
        """A fact of `FACTS`, a figure such as `test/acc`, a field of the record or a setting; None without one."""
        facts: dict[str, Callable[[], Any]] = {
            "run": lambda: os.path.relpath(self.path, self.root),
            "val/acc": lambda: self.validation,
            "age": lambda: time.time() - self.began,
            "epochs": lambda: self.saved.epochs if self.saved and self.saved.epochs else len(self.history()),
            "began": lambda: datetime.datetime.fromtimestamp(self.began).isoformat(" ", "seconds"),
        } | {name: lambda name=name: getattr(self, name) for name in ("status", "size", "model")}
        if key in facts:
            return facts[key]()
        record = self.saved.dump() if self.saved is not None else {}
        for found in (record.get("figures") or {}, record):
            if key in found:
                return found[key]
        return self.setting(key)


def find_runs(root: Path) -> list[ListedRun]:
    """Every run directory below a folder, or the folder itself.

    Raises:
        RunError: no such folder.
    """
    if not root.is_dir():
        raise RunError(f"{root}: no such folder")
    return [ListedRun(Path(path), root) for path in _search(str(root))]


def find_siblings(run: Path) -> list[ListedRun]:
    """The run directories beside one, itself among them, however much else lies deeper there."""
    return [ListedRun(file.parent, run.parent) for file in run.parent.glob("*/config.yaml") if file.is_file()]


def as_dict(run: ListedRun, extra: Sequence[str] = ()) -> dict[str, Any]:
    """The facts of a run by name, and further settings or figures."""
    names = ("model", "seed", "status", "epochs", "max_epochs", "val/acc", "began", "size", *extra)
    return {"directory": str(run.path)} | {name: run.value(name) for name in names}


def find_sweeps(root: Path) -> list[Path]:
    """Every directory of a sweep or search below a folder, or the folder itself; none where it is not there."""
    return [Path(path) for path in _search(str(root), PLAN)]


def _search(folder: str, name: str = CONFIG) -> Iterator[str]:
    """Folders with a file of this name; none that lie in a run directory."""
    try:
        entries = list(os.scandir(folder))
    except OSError:  # somebody else's
        return
    files = {entry.name for entry in entries if entry.name in (CONFIG, name) and entry.is_file()}
    if name in files:
        yield folder
    if CONFIG in files:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _search(entry.path, name)


@functools.cache
def _line_of(key: str) -> re.Pattern[str]:
    """Finds a key in what `Run.save_config` writes: a line for each, two spaces for each level."""
    *groups, leaf = key.split(".")
    levels = [f"{'  ' * depth}{re.escape(name)}:\n(?:{'  ' * (depth + 1)}.*\n)*?" for depth, name in enumerate(groups)]
    return re.compile(f"^{''.join(levels)}{'  ' * len(groups)}{re.escape(leaf)}: ?(.*)$", re.MULTILINE)


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted key."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
