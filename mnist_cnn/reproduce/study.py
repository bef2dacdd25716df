"""The documents' experiments as a list of runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mnist_cnn import NUMERICS
from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.schema import find_problems
from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.runs.record import Record
from mnist_cnn.runs.settings import settings_digest

HERE = Path(__file__).parent
# As the documents ran them, and with the test images read once, after validation has chosen the epoch.
PROTOCOLS = ("document", "holdout")
# For records: what is chosen between never reads the test images; what was chosen runs as its preset says.
SETTINGS = {
    "document": [], "holdout": ["data.validate_on=holdout", "test_weights=best"], "choosing": ["test=never"],
    "record": [],
}  # fmt: skip
SEEDS = {"document": 5, "holdout": 3}  # unless the caller says otherwise
PROBE_SEEDS = 3


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of a document's results: a preset, or a preset with overrides.

    Args:
        reported: of `acc`, `loss` those that the document prints for the last epoch; accuracies in [0, 1].
        probe: for a run that is not in the document: what it tests.
        chosen: what the document does not say and we chose, and why.
        seeds: planned under the document's protocol, where not `SEEDS` or `PROBE_SEEDS`.
        watched: whether the document read the test images after every epoch; else after the last alone.
        printed: what the document prints after each epoch, by the names of metrics.csv; empty where it prints nothing.
        confusion: the printed matrix, rows by true class; None where it prints none.
        folder: of its results, where it is not named as the entry; another entry's where both are the same net.
        folds: of the training images, where each seed validates on another one.
    """

    document: str
    name: str
    experiment: str | None
    overrides: Sequence[str] = ()
    reported: dict[str, float] = field(default_factory=dict)
    probe: str | None = None
    chosen: str | None = None
    watched: bool = True
    seeds: int | None = None
    printed: dict[str, list[float]] = field(default_factory=dict)
    confusion: list[list[int]] | None = None
    folder: str | None = None
    folds: int | None = None

    @property
    def key(self) -> str:
        return f"{self.document}/{self.name}"

    def results(self, protocol: str) -> str:
        """Where its results lie, below a results directory."""
        return f"{self.document}/{self.folder or self.name}/{protocol}"

    def planned(self, protocol: str) -> int:
        """Seeds."""
        own = self.seeds if protocol == "document" else None
        return own or (PROBE_SEEDS if self.probe else SEEDS[protocol])

    def settings(self, protocol: str) -> list[str]:
        """As overrides."""
        named = [f"experiment={self.experiment}"] if self.experiment else []
        return [*named, *self.overrides, *SETTINGS[protocol]]

    def fold_of(self, seed: int) -> dict[str, int]:
        """What the seed says of its fold, in `data`."""
        return {"folds": self.folds, "fold": seed % self.folds} if self.folds else {}


@dataclass(frozen=True)
class Document:
    name: str
    file: str
    title: str
    entries: list[Entry]


@dataclass(frozen=True)
class StudyRun:
    """One seed of one entry under one protocol."""

    entry: Entry
    protocol: str
    seed: int

    @property
    def digest(self) -> str:
        """Of today's settings."""
        return _digest(self.entry, self.protocol)

    @property
    def path(self) -> str:
        return f"{self.entry.results(self.protocol)}/seed_{self.seed}"

    @property
    def overrides(self) -> list[str]:
        folds = [f"data.{key}={value}" for key, value in self.entry.fold_of(self.seed).items()]
        return [*self.entry.settings(self.protocol), *folds, f"seed={self.seed}", "threads=1", "figures=false"]

    def made(self, record: Record | None) -> bool:
        """Whether a record is of this run, finished, with its present settings, by the present code."""
        if record is None or not record.completed:
            return False
        return (record.settings, record.numerics) == (self.digest, NUMERICS)

    def __str__(self) -> str:
        return f"{self.entry.key} seed {self.seed} ({self.protocol} protocol)"


@cache
def documents() -> list[Document]:
    """All documents; always the same objects, so that an entry is composed once."""
    tree, logs, matrices = (_read(name) for name in ("documents", "printed_logs", "printed_confusion"))
    found = []
    for name, node in tree.items():
        entries = []
        for key, value in node["entries"].items():
            full = f"{name}/{key}"
            printed = {"printed": logs.get(full, {}), "confusion": matrices.get(full)}
            entries.append(_entry(name, key, node.get("common", {}) | value, printed))
        found.append(Document(name, node["file"], node["title"], entries))
    return found


def _read(name: str) -> dict[str, Any]:
    tree: Any = OmegaConf.to_container(OmegaConf.load(HERE / f"{name}.yaml"))
    return tree


def chosen(names: Sequence[str], among: list[Document]) -> list[Entry]:
    """Entries of the named documents (`ablation`) and entries (`ablation/baseline` or `baseline`); all for no name.

    Raises:
        ConfigError: a name that is neither.
    """
    entries = [entry for document in among for entry in document.entries]
    allowed = [document.name for document in among] + [name for entry in entries for name in (entry.key, entry.name)]
    problems = [
        f"{name}: no such document or experiment{nearest(name, allowed)}" for name in names if name not in allowed
    ]
    if problems:
        raise ConfigError(problems)
    return [entry for entry in entries if not names or {entry.document, entry.key, entry.name} & set(names)]


def plan(entries: list[Entry], seeds: int | None, protocol: str | None) -> list[StudyRun]:
    """All runs: the documents' protocol before the held-out one, and first seeds first; of nets that are one, once.

    Args:
        seeds: runs seeds 1 to this; None takes those planned.
        protocol: one of `PROTOCOLS`; None takes both for the documents' nets, their own for probes.
    """
    runs: dict[str, StudyRun] = {}
    for entry in entries:
        wanted = [protocol] if protocol else ["document"] if entry.probe else list(PROTOCOLS)
        for name in wanted:
            for seed in range(1, (seeds or entry.planned(name)) + 1):
                run = StudyRun(entry, name, seed)
                runs.setdefault(run.path, run)
    return sorted(runs.values(), key=lambda run: (run.protocol, run.seed))


def _entry(document: str, name: str, node: dict[str, Any], printed: dict[str, Any]) -> Entry:
    node = dict(node)
    own = {key: node.pop(key) for key in ("overrides", "probe", "chosen", "watched", "seeds", "folder") if key in node}
    return Entry(document, name, node.pop("experiment", f"{document}/{name}"), reported=node, **printed, **own)


@cache
def composed(entry: Entry, protocol: str) -> DictConfig:
    """The configuration of an entry, checked; once for each."""
    if protocol != "document":  # composing takes a tenth of a second
        cfg = composed(entry, "document").copy()
        cfg.merge_with_dotlist(SETTINGS[protocol])
        return cfg
    cfg = compose_run(entry.settings(protocol)).cfg
    cfg.data.update(entry.fold_of(0))
    if problems := find_problems(cfg):
        raise ConfigError([f"{entry.key}: {problem}" for problem in problems])
    return cfg


@cache
def _digest(entry: Entry, protocol: str) -> str:
    return settings_digest(composed(entry, protocol))
