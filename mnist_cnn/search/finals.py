"""The last round of a search: its best settings again, each with the same fresh seeds."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.python_values import command
from mnist_cnn.files import LOCK, is_locked, locked
from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import counted
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.record import Record, known
from mnist_cnn.sweep.jobs import Job, run_side_by_side, start_or_continue
from mnist_cnn.train import train

FINAL = "final"


def run_finals(
    directory: Path, finalists: Mapping[int, Sequence[str]], base: DictConfig, seeds: int, at_once: int
) -> int:
    """Runs what is missing, prints how each finalist does, the best in the mean first; returns how many runs failed.

    One process at a time: of several that share a search the others wait, and run what did not complete.

    Args:
        finalists: overrides by number of the trial.
        base: whose seed the trials had; the finals have the next ones.
    """
    wanted = [(number, overrides, base.seed + 1 + i) for i in range(seeds) for number, overrides in finalists.items()]
    (directory / FINAL).mkdir(exist_ok=True)
    failed = 0
    if is_locked(directory / FINAL / LOCK):
        print("finals: waiting for another process, which runs them", flush=True)
    with locked(directory / FINAL):
        left = [each for each in wanted if _finished(_run(directory, each[0], each[2])) is None]
        what = f"{counted(len(finalists), 'setting')} with {counted(seeds, 'fresh seed')} each"
        print(f"finals: {what}, {counted(len(left), 'run')} to do", flush=True)
        for ended in run_side_by_side(_jobs(directory, left), train, at_once):
            failed += ended.error is not None
            record = _finished(ended.job.run)
            print(f"{ended.job.run.path}: {record.shown(record.validation) if record else ended.error}", flush=True)
    print(_told(directory, list(finalists), {seed for _, _, seed in wanted}))
    return failed


def _jobs(directory: Path, left: Sequence[tuple[int, Sequence[str], int]]) -> Iterator[Job]:
    for number, overrides, seed in left:
        chosen = [*overrides, f"seed={seed}"]
        run = _run(directory, number, seed)
        yield start_or_continue(compose_run(chosen).cfg, run, chosen, run.path.with_suffix(".log"))


def _run(directory: Path, number: int, seed: int) -> Run:
    return Run(directory / FINAL / str(number) / f"seed_{seed}")


def _finished(run: Run) -> Record | None:
    record = run.record()
    return record if record is not None and record.completed else None


def _told(directory: Path, numbers: Sequence[int], seeds: set[int]) -> str:
    runs = {number: [_finished(_run(directory, number, seed)) for seed in sorted(seeds)] for number in numbers}
    finished = {number: done for number, each in runs.items() if (done := [run for run in each if run is not None])}
    order = sorted(finished, key=lambda number: -Spread.of([run.rank for run in finished[number]]).mean)
    lines = []
    for number in order:
        spread = Spread.of([known(run.validation) for run in finished[number]])
        shown = spread.in_percent.text(2, " %") if finished[number][0].monitor is None else spread.text(4)
        lines.append(f"trial {number}: {shown}, {counted(spread.n, 'seed')}")
    if len(order) > 1:
        names = [str(directory / FINAL / str(number)) for number in reversed(order[:2])]
        lines.append(f"whether the first two differ: {command('compare')} {' '.join(names)}")
    return "\n".join(lines)
