"""The documents' experiments as a list of runs, and the results directory that keeps their figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from mnist_cnn import NUMERICS
from mnist_cnn.config.build import build
from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.schema import find_problems
from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.files import write_atomically
from mnist_cnn.report.tables import count
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.record import Record
from mnist_cnn.runs.settings import settings_digest

HERE = Path(__file__).parent
# As the documents ran them, and with the test images read once, after validation has chosen the epoch.
PROTOCOLS = {"document": [], "holdout": ["data.validate_on=holdout", "test_weights=best"]}
SEEDS = {"document": 5, "holdout": 3}  # unless the entry or the caller says otherwise
HOLDOUT_BELOW = 100_000  # parameters; larger nets run under the documents' own protocol unless asked for


@dataclass(frozen=True)
class Entry:
    """One line of a document's results: a preset, or a preset with overrides.

    Args:
        reported: of `acc`, `loss` those that the document prints for the last epoch; accuracies in [0, 1].
        probe: for a run that is not in the document: what it tests.
        seeds: how many to run, or None for the caller's default.
        printed: what the document prints after each epoch, by the names of metrics.csv; empty where it prints nothing.
    """

    document: str
    name: str
    experiment: str
    overrides: Sequence[str] = ()
    reported: dict[str, float] = field(default_factory=dict)
    probe: str | None = None
    seeds: int | None = None
    printed: dict[str, list[float]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.document}/{self.name}"


@dataclass(frozen=True)
class Document:
    name: str
    file: str
    title: str
    entries: list[Entry]
    confusion: list[str]  # entries whose confusion matrix the document prints


@dataclass(frozen=True)
class StudyRun:
    """One seed of one entry under one protocol."""

    entry: Entry
    protocol: str
    seed: int
    digest: str

    @property
    def path(self) -> str:
        return f"{self.entry.key}/{self.protocol}/seed_{self.seed}"

    @property
    def overrides(self) -> list[str]:
        return [
            *_overrides(self.entry.experiment, self.entry.overrides, self.protocol),
            f"seed={self.seed}",
            "figures=false",
        ]

    def __str__(self) -> str:
        return f"{self.entry.key} seed {self.seed} ({self.protocol} protocol)"


class Results:
    """A directory with one JSON file (and the figures per epoch as CSV) for each finished run; small enough for git."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, run: StudyRun) -> Record | None:
        """The record of a run if it was made with its present settings by the present code, else None."""
        file = self.root / f"{run.path}.json"
        if not file.is_file():
            return None
        record = Record.load(file)
        return record if record.completed and (record.settings, record.numerics) == (run.digest, NUMERICS) else None

    def all_of(self, entry: Entry, protocol: str) -> dict[Path, Record]:
        """The record of every seed, by file, in order."""
        files = list((self.root / entry.key / protocol).glob("seed_*.json"))
        if not files:
            return {}
        code = settings_digest(composed(entry.experiment, tuple(entry.overrides), protocol))
        found = {}
        for file in files:
            seed = int(file.stem.removeprefix("seed_"))
            record = self.of(StudyRun(entry, protocol, seed, code))
            if record is not None:
                found[seed] = (file, record)
        return {file: record for _, (file, record) in sorted(found.items())}

    def histories(self, run: StudyRun) -> list[Path]:
        """Figures per epoch of all seeds of the same entry and protocol, those of earlier code included."""
        return [file.with_suffix(".csv") for file in (self.root / run.path).parent.glob("seed_*.json")]

    def keep(self, run: StudyRun, trained: Run) -> None:
        target = self.root / f"{run.path}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target.with_suffix(".csv"), trained.history_file.read_bytes())
        write_atomically(target, trained.metrics_file.read_bytes())

    def share(self, source: StudyRun, target: StudyRun) -> None:
        """The same configuration and seed under another name: the same figures."""
        for suffix in (".csv", ".json"):
            there = self.root / f"{target.path}{suffix}"
            there.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(there, (self.root / f"{source.path}{suffix}").read_bytes())


def documents() -> list[Document]:
    tree: Any = OmegaConf.to_container(OmegaConf.load(HERE / "documents.yaml"))
    logs: Any = OmegaConf.to_container(OmegaConf.load(HERE / "printed_logs.yaml"))
    found = []
    for name, node in tree.items():
        entries = [
            _entry(name, key, dict(value), logs.get(f"{name}/{key}", {})) for key, value in node["entries"].items()
        ]
        found.append(Document(name, node["file"], node["title"], entries, node.get("confusion", [])))
    return found


def chosen(names: Sequence[str], among: list[Document]) -> list[Entry]:
    """Entries of the named documents (`ablation`) and entries (`ablation/baseline`); all for no name.

    Raises:
        ConfigError: a name that is neither.
    """
    entries = [entry for document in among for entry in document.entries]
    allowed = [document.name for document in among] + [entry.key for entry in entries]
    problems = [
        f"{name}: no such document or experiment{nearest(name, allowed)}" for name in names if name not in allowed
    ]
    if problems:
        raise ConfigError(problems)
    return [entry for entry in entries if not names or {entry.key, entry.document} & set(names)]


def plan(entries: list[Entry], seeds: int | None, protocol: str | None) -> list[StudyRun]:
    """All runs, first seeds first, so that every experiment has a figure early.

    Args:
        seeds: runs seeds 1 to this; None takes what the entry says, or `SEEDS`.
        protocol: one of `PROTOCOLS`; None takes the documents' for all and `holdout` too for the small nets.
    """
    runs = []
    for entry in entries:
        small = _parameters(composed(entry.experiment, tuple(entry.overrides), "document")) < HOLDOUT_BELOW
        wanted = [protocol] if protocol else ["document", *(["holdout"] if small and not entry.probe else [])]
        for name in wanted:
            code = settings_digest(composed(entry.experiment, tuple(entry.overrides), name))
            last = seeds or entry.seeds or SEEDS[name]
            runs += [StudyRun(entry, name, seed, code) for seed in range(1, last + 1)]
    return sorted(runs, key=lambda run: (run.seed, run.protocol))


def _entry(document: str, name: str, node: dict[str, Any], printed: dict[str, list[float]]) -> Entry:
    own = {key: node.pop(key) for key in ("overrides", "probe", "seeds") if key in node}
    return Entry(document, name, node.pop("experiment", f"{document}/{name}"), reported=node, printed=printed, **own)


def _overrides(experiment: str, overrides: Sequence[str], protocol: str) -> list[str]:
    return [f"experiment={experiment}", *overrides, *PROTOCOLS[protocol]]


@cache
def composed(experiment: str, overrides: tuple[str, ...], protocol: str) -> DictConfig:
    """The configuration of an entry, checked; once for each."""
    cfg = compose_run(_overrides(experiment, overrides, protocol)).cfg
    problems = find_problems(cfg)
    if problems:
        raise ConfigError([f"{experiment}: {problem}" for problem in problems])
    return cfg


def _parameters(cfg: DictConfig) -> int:
    with torch.device("meta"):
        return count(build(cfg.model).layer_rows)[0]
