"""The two sides of a comparison: finished runs of one setting, a seed each, found by what a user names."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_cnn.errors import RunError, closest
from mnist_cnn.report.text import counted
from mnist_cnn.runs.layout import CONFIG, PLAN, Layout
from mnist_cnn.runs.record import Record, known
from mnist_cnn.runs.sameness import images_differ
from mnist_cnn.sweep.groups import groups_of, rows_of
from mnist_cnn.sweep.plan import Sweep

OF_FOLDS = (
    "folds share most of their training images, so no test here holds for them; their means: python -m mnist_cnn."
)
Place = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Finished:
    """A finished run and the file that keeps its record."""

    file: Path
    record: Record


@dataclass(frozen=True)
class Side:
    """Finished runs of one setting by seed; `left_out`: that were not finished."""

    name: str
    runs: dict[int, Finished]
    left_out: int

    @property
    def first(self) -> Record:
        return next(iter(self.runs.values())).record

    @property
    def images(self) -> dict[str, int | None]:
        """How many the accuracies of each split are out of."""
        protocol = known(self.first.protocol)
        return {"val": protocol.val_images, "test": protocol.test_images}

    def figure(self, name: str) -> dict[int, float]:
        """Of each seed that has it, in order."""
        found = {seed: run.record.measured().get(name) for seed, run in sorted(self.runs.items())}
        return {seed: value for seed, value in found.items() if value is not None}

    def about(self) -> str:
        seeds = ", ".join(map(str, sorted(self.runs)))
        what = f"{len(self.runs)} runs, seeds {seeds}" if len(self.runs) > 1 else f"1 run, seed {seeds}"
        return f"{self.name}: {self.first.model}, {what}"


def find_side(place: Place) -> Side:
    """A run directory, a folder of runs, a sweep of one setting over seeds, a file such as metrics.json, a pattern.

    Raises:
        RunError: nothing there or nothing finished; runs of several settings; a seed with two results.
    """
    places = [place] if isinstance(place, str | Path) else list(place)
    name = ", ".join(map(str, places))
    files = dict.fromkeys(file.resolve() for one in places for file in _files(str(one)))
    return _side(name, [_record(file) for file in files])


def sides_of_sweep(place: str | Path) -> list[Side]:
    """The settings of a sweep, each over its seeds, best mean validation accuracy first.

    Raises:
        RunError: not a sweep directory, or fewer than two settings with finished runs.
    """
    path = Path(place)
    if not (path / PLAN).is_file():
        raise RunError(f"{place}: not a sweep directory; name two sides to compare, A and B")
    sweep = Sweep.load(path.resolve())
    sides = []
    for group in groups_of(rows_of(sweep)):
        if any(known(known(row.done).protocol).fold is not None for row in group.rows):
            raise RunError(f"{place}: {OF_FOLDS}sweep {place}")
        runs = [Finished(sweep.run(row.job).metrics_file, known(row.done)) for row in group.rows]
        sides.append(_side(group.name or str(place), [*runs, *[None] * (group.planned - len(runs))]))
    if len(sides) < 2:
        raise RunError(f"{place}: finished runs of {counted(len(sides), 'setting')}; needed: two or more")
    return sides


def _files(place: str) -> list[Path]:
    path = Path(place)
    if path.is_file():
        return [path]
    if (path / PLAN).is_file():
        sweep = Sweep.load(path)
        return [sweep.run(job).metrics_file for job in sweep.jobs]
    run = Layout(path)
    if run.metrics_file.is_file() or run.config_file.is_file():
        return [run.metrics_file]
    if path.is_dir():
        return _records_below(path)
    matches = [Path(match) for match in sorted(glob.glob(place, recursive=True))]
    if not matches:
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = closest(path.name, beside)
        raise RunError(f"{place}: nothing there" + (f"; did you mean '{path.parent / near}'?" if near else ""))
    return [file for match in matches for file in _files(str(match))]


def _records_below(folder: Path) -> list[Path]:
    """Every JSON file, but of a run directory its record alone: an export lies there too."""
    runs = {Layout(file.parent).metrics_file: file.parent for file in folder.rglob(CONFIG)}
    within = set(runs.values())
    return sorted(file for file in folder.rglob("*.json") if file in runs or within.isdisjoint(file.parents))


def _record(file: Path) -> Finished | None:
    """None for a run that is not finished, or that has no record yet."""
    if not file.is_file():
        return None
    record = Record.load(file)
    return Finished(file, record) if record.completed else None


def _side(name: str, found: Sequence[Finished | None]) -> Side:
    finished = [run for run in found if run is not None]
    left_out = len(found) - len(finished)
    if not finished:
        raise RunError(f"{name}: no finished run" + (f", {left_out} unfinished" if left_out else ""))
    if len({known(run.record.protocol).fold for run in finished} - {None}) > 1:
        raise RunError(f"{name}: {OF_FOLDS}runs rank")
    if len({run.record.alike for run in finished}) > 1:
        models = ", ".join(sorted({str(run.record.model) for run in finished}))
        raise RunError(
            f"{name}: runs of several settings ({models}); name those of one, by its folder or a quoted pattern such "
            "as 'results/recipes/gap_*.json'; of a sweep alone, its settings are compared"
        )
    if images_differ(run.record for run in finished):
        raise RunError(f"{name}: runs on different images, all called {known(finished[0].record.protocol).dataset}")
    runs: dict[int, Finished] = {}
    for run in finished:
        same = runs.setdefault(run.record.seed, run)
        if same.record.outcome != run.record.outcome:
            raise RunError(f"{name}: seed {run.record.seed} has two results, in {same.file} and {run.file}")
    return Side(name, runs, left_out)
