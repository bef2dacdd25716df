"""Trains runs of the study, each with one thread, and keeps their figures."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from mnist_cnn.report.text import counted
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.rows import typical_seconds
from mnist_cnn.reproduce.study import StudyRun, composed
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.environment import git_state
from mnist_cnn.runs.record import known
from mnist_cnn.signals import stopping
from mnist_cnn.sweep.jobs import GO_ON, Job, run_side_by_side, start_or_continue
from mnist_cnn.train import train


def run_what_is_left(
    runs: Sequence[StudyRun], missing: list[StudyRun], results: Results, run_root: Path, jobs: int, dry_run: bool
) -> int | None:
    """As `run_missing`, for a command of a person: says how much there is to do, keeps other calls out, can be stopped.

    Args:
        runs: all that are wanted.
        dry_run: only check and say it; returns None then.

    Raises:
        ConfigError: settings that do not compose or fit, before anything runs.
    """
    print(f"{counted(len(runs), 'run')}: {len(runs) - len(missing)} done, {len(missing)} to do", flush=True)
    if dry_run:
        for run in missing:
            composed(run.entry, run.protocol)
        print("\n".join(str(run) for run in missing))
        return None
    if (code := git_state()) and code["dirty"]:
        print("warning: the code has changes that are not committed, so that what runs now does not stand", flush=True)
    again = "the same command: finished runs are skipped"
    with Run(run_root).held(), stopping(lambda: GO_ON.format(again)):
        return run_missing(missing, results, run_root, jobs)


def run_missing(missing: list[StudyRun], results: Results, run_root: Path, jobs: int) -> int:
    """Trains what is missing, equal settings under two names once, and keeps the figures; returns how many failed."""
    twins = {(run.digest, run.seed): run for run in missing}  # the last of equal ones is trained
    trained = [run for run in missing if twins[run.digest, run.seed] is run]

    def keep(run: StudyRun, directory: Run) -> None:
        results.keep(run, directory)
        for twin in missing:
            if twin is not run and (twin.digest, twin.seed) == (run.digest, run.seed):
                results.share(run, twin)

    for run in list(trained):
        directory = Run(run_root / run.path)
        if run.made(directory.record()):
            keep(run, directory)  # finished when an earlier call was killed
            trained.remove(run)
    failed = []
    left = list(trained)
    for ended in run_side_by_side(_jobs(trained, run_root), train, jobs):
        run = ended.job.about
        left.remove(run)
        if ended.error is None:
            keep(run, ended.job.run)
            record = known(ended.job.run.record())
            split, figure = ("test", record.test) if record.test is not None else ("validation", record.validation)
            outcome = f"{split} accuracy {known(figure):.2%}, {ended.seconds:.0f} s"
        else:
            failed.append(run)
            outcome = f"failed: {ended.error} (log: {ended.job.log_file})"
        done = len(trained) - len(left)
        print(f"[{done}/{len(trained)}] {run}: {outcome}{time_left(left, results, jobs)}", flush=True)
    if failed:
        print(f"{len(failed)} of {len(trained)} runs failed:", *failed, sep="\n  ", file=sys.stderr)
    return len(failed)


def _jobs(runs: Sequence[StudyRun], root: Path) -> Iterator[Job]:
    for run in runs:
        cfg = composed(run.entry, run.protocol).copy()
        cfg.seed = cfg.data.seed = run.seed
        cfg.data.update(run.entry.fold_of(run.seed))
        cfg.figures, cfg.threads = False, 1
        yield start_or_continue(cfg, Run(root / run.path), run.overrides, root / f"{run.path}.log", run)


def time_left(left: list[StudyRun], results: Results, jobs: int) -> str:
    """From what other seeds of the same experiment took, else from the mean of all."""
    known = {run.path: typical_seconds(files) for run in left if (files := results.histories(run))}
    if not left or not known:
        return f"; {len(left)} left" if left else ""
    overall = mean(known.values())
    total = sum(known.get(run.path, overall) for run in left) / jobs
    return f"; {len(left)} left, about {total / 60:.0f} min"
