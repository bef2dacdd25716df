"""What records.yaml says: records in their order, what was measured while choosing, and the runs of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.reproduce.study import Entry, StudyRun

HERE = Path(__file__).parent
SEEDS = 10  # of a record
FIRST, FIRST_CHOOSING = 1, 101  # seeds of records, and while choosing


@dataclass(frozen=True)
class RecordEntry:
    """One line of the book; see records.yaml."""

    number: int
    budget: str
    date: str
    changed: str
    overrides: Sequence[str]
    committed: Sequence[str] | None = None
    results: str | None = None
    against: int | None = None
    members: int = 1

    @property
    def seeds(self) -> int:
        """All of its runs."""
        return SEEDS * self.members

    @property
    def folder(self) -> str:
        """Of its results, below `results`."""
        return self.results or f"records/{self.runs.results('record')}"

    @property
    def runs(self) -> Entry:
        return Entry(self.budget, str(self.number), None, self.overrides)


@dataclass(frozen=True)
class Elsewhere:
    """A record's recipe, unchanged, on other images."""

    record: int
    data: str

    @property
    def overrides(self) -> list[str]:
        [own] = [one.overrides for one in records() if one.number == self.record]
        return [*own, f"data={self.data}"]

    @property
    def runs(self) -> Entry:
        return Entry(self.data, str(self.record), None, self.overrides)


@dataclass(frozen=True)
class Ingredient:
    """One change of a recipe: that alone, or the recipe as it is, which has no `overrides`."""

    ablation: str
    name: str
    base: Sequence[str]
    overrides: Sequence[str]
    what: str
    seeds: int
    folds: int | None = None

    @property
    def runs(self) -> Entry:
        name = f"{self.ablation}_{self.name}"
        return Entry("choosing", name, None, [*self.base, *self.overrides], folds=self.folds)


@dataclass(frozen=True)
class Published:
    """A net of others: `accuracy` in percent, on images and by a choice that `how` tells; `where` on GitHub."""

    parameters: int
    accuracy: float
    where: str
    year: int
    how: str


@cache
def budgets() -> dict[str, int | None]:
    """Most trained parameters of each; None for no limit."""
    found: dict[str, int | None] = _tree()["budgets"]
    return found


@cache
def records() -> list[RecordEntry]:
    """In the order in which they were set."""
    return [RecordEntry(**node) for node in _tree()["records"]]


@cache
def elsewhere() -> list[Elsewhere]:
    return [Elsewhere(**node) for node in _tree()["elsewhere"]]


@cache
def published() -> list[Published]:
    return [Published(**node) for node in _tree()["published"]]


@cache
def ablations() -> dict[str, list[Ingredient]]:
    """By name; the first of each is the recipe that the others change."""
    found = {}
    for name, node in _tree()["ablations"].items():
        changes = {"as_it_is": {"what": node["what"], "overrides": []}, **node["changes"]}
        found[name] = [
            Ingredient(
                name,
                key,
                one.get("base", node["base"]),
                one["overrides"],
                one["what"],
                one.get("seeds", node["seeds"]),
                node.get("folds"),
            )
            for key, one in changes.items()
        ]
    return found


def wanted(names: Sequence[str], seeds: int | None) -> list[StudyRun]:
    """The runs of the named budgets, record numbers, other images and ablations, all for no name; first seeds first.

    Raises:
        ConfigError: a name that is none of them, or more seeds than any of them has.
    """
    others = dict.fromkeys(one.data for one in elsewhere())
    allowed = [*budgets(), *(str(one.number) for one in records()), *others, *ablations()]
    if problems := [f"{name}: no such record{nearest(name, allowed)}" for name in names if name not in allowed]:
        raise ConfigError(problems)
    runs = list(_runs(set(names)))
    if seeds is not None and runs and seeds > (most := max(map(_place, runs))):
        raise ConfigError([f"seeds = {seeds}: no more than the {most} that were planned before any had run"])
    return sorted((run for run in runs if seeds is None or _place(run) <= seeds), key=lambda run: run.seed)


def _place(run: StudyRun) -> int:
    """Of its seed among those of its kind, from 1."""
    return run.seed - (FIRST_CHOOSING if run.protocol == "choosing" else FIRST) + 1


def _runs(names: set[str]) -> Iterator[StudyRun]:
    for name, ingredients in ablations().items():
        for one in ingredients if not names or name in names else []:
            for seed in range(one.seeds):
                yield StudyRun(one.runs, "choosing", FIRST_CHOOSING + seed)
    for record in records():
        if record.results is None and (not names or {record.budget, str(record.number)} & names):
            for seed in range(record.seeds):
                yield StudyRun(record.runs, "record", FIRST + seed)
    for other in elsewhere():
        if not names or other.data in names:
            for seed in range(SEEDS):
                yield StudyRun(other.runs, "record", FIRST + seed)


@cache
def _tree() -> dict[str, Any]:
    tree: Any = OmegaConf.to_container(OmegaConf.load(HERE / "records.yaml"))
    return tree
