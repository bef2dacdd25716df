"""Runs the documents' experiments, what is missing of them, and writes the page that compares them."""

if __name__ == "__main__":  # before the imports, which take seconds, and make tensors
    from mnist_cnn.signals import leave_at_once
    from mnist_cnn.speed import huge_pages

    leave_at_once()
    huge_pages.ask_for()

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from mnist_cnn import cli
from mnist_cnn.config.tiny import is_tiny
from mnist_cnn.errors import RunError
from mnist_cnn.files import require_folder
from mnist_cnn.reproduce.page import write_pages
from mnist_cnn.reproduce.rows import typical_seconds
from mnist_cnn.reproduce.study import Results, StudyRun, chosen, composed, documents, plan
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.environment import git_state
from mnist_cnn.runs.record import known
from mnist_cnn.signals import stopping
from mnist_cnn.sweep.jobs import Job, run_side_by_side, start_or_continue
from mnist_cnn.sweep.multirun import GO_ON
from mnist_cnn.train import train
from mnist_cnn.values import Count, PathName

USAGE = """\
Runs the documents' experiments that are missing from the results, and writes
the page that compares them.

  python -m mnist_cnn.reproduce                            all: many hours
  python -m mnist_cnn.reproduce ablation seeds=3 jobs=2    one document
  python -m mnist_cnn.reproduce ablation/baseline          one experiment

  seeds=N              seeds 1 to N of each (default: 5; under holdout, and of
                       probes, 3)
  jobs=N               runs side by side, each with its share of the cores
                       (default 1)
  protocol=NAME        document or holdout (default: both, of probes document)
  run_root=FOLDER      where runs go (default runs/reproduction)
  results=FOLDER       where figures are kept (default results/reproduction)
  pages=FOLDER         where the pages go (default docs/reproduction)
  dry_run=true         only say what would run

Documents: {documents}
It can be stopped and started again: a finished run is skipped, a half-done one
continues. Each run has one thread. First come those that results/superseded has
from code that was not committed, then the documents' protocol, then holdout."""


@dataclass(frozen=True)
class Options:
    """What the command line may say; see `USAGE`."""

    seeds: int | None = None
    jobs: int = 1
    protocol: str | None = None
    run_root: Path = Path("runs/reproduction")
    results: Path = Path("results/reproduction")
    pages: Path = Path("docs/reproduction")
    dry_run: bool = False


TYPES: dict[str, Any] = {
    "seeds": Count, "jobs": Count, "protocol": Literal["document", "holdout"], "run_root": PathName,
    "results": PathName, "pages": PathName, "dry_run": bool,
}  # fmt: skip


def reproduce(names: Sequence[str], options: Options) -> int:
    """Runs what is missing of the named documents and experiments; returns how many runs failed."""
    runs = plan(chosen(names, documents()), options.seeds, options.protocol)
    results = Results(options.results)
    missing = [run for run in runs if results.of(run) is None]
    missing.sort(key=lambda run: not results.superseded(run))
    print(f"{len(runs)} runs: {len(runs) - len(missing)} done, {len(missing)} to do", flush=True)
    if options.dry_run:
        print("\n".join(str(run) for run in missing))
        return 0
    if (code := git_state()) and code["dirty"]:
        print("warning: the code has changes that are not committed, so that what runs now does not stand", flush=True)
    again = "the same command: finished runs are skipped"
    with Run(options.run_root).held(), stopping(lambda: GO_ON.format(again)):
        failed = run_missing(missing, runs, results, options)
    write_pages(documents(), results, options.pages)
    print(f"pages: {options.pages}")
    return failed


def run_missing(missing: list[StudyRun], runs: list[StudyRun], results: Results, options: Options) -> int:
    twins = {(run.digest, run.seed): run for run in missing}  # the last of equal ones is trained
    trained = [run for run in missing if twins[run.digest, run.seed] is run]
    for run in list(trained):
        directory = Run(options.run_root / run.path)
        if run.made(directory.record()):
            results.keep(run, directory)  # finished when an earlier call was killed
            trained.remove(run)
    failed = []
    left = list(trained)
    for ended in run_side_by_side(_jobs(trained, options.run_root), train, options.jobs):
        run = ended.job.about
        left.remove(run)
        if ended.error is None:
            results.keep(run, ended.job.run)
            for twin in missing:
                if twin is not run and (twin.digest, twin.seed) == (run.digest, run.seed):
                    results.share(run, twin)
            outcome = f"test accuracy {known(ended.job.run.record()).results.test_acc:.2%}, {ended.seconds:.0f} s"
        else:
            failed.append(run)
            outcome = f"failed: {ended.error} (log: {ended.job.log_file})"
        done = len(trained) - len(left)
        print(f"[{done}/{len(trained)}] {run}: {outcome}{time_left(left, runs, results, options.jobs)}", flush=True)
    if failed:
        print(f"{len(failed)} of {len(trained)} runs failed:", *failed, sep="\n  ", file=sys.stderr)
    return len(failed)


def _jobs(runs: Sequence[StudyRun], root: Path) -> Iterator[Job]:
    for run in runs:
        cfg = composed(run.entry, run.protocol).copy()
        cfg.seed = cfg.data.seed = run.seed
        cfg.figures, cfg.threads = False, 1
        yield start_or_continue(cfg, Run(root / run.path), run.overrides, root / f"{run.path}.log", run)


def time_left(left: list[StudyRun], runs: list[StudyRun], results: Results, jobs: int) -> str:
    """From what other seeds of the same experiment took, else from the mean of all."""
    known = {run.path: typical_seconds(files) for run in runs if (files := results.histories(run))}
    if not left or not known:
        return f"; {len(left)} left" if left else ""
    overall = mean(known.values())
    total = sum(known.get(run.path, overall) for run in left) / jobs
    return f"; {len(left)} left, about {total / 60:.0f} min"


def parse(arguments: Sequence[str]) -> tuple[list[str], Options]:
    """Names and `key=value` options.

    Raises:
        ConfigError: an unknown option or a value that does not fit.
    """
    names, given = cli.read_options(arguments, TYPES)
    if is_tiny():  # its figures must not come among the kept ones
        apart = {key: f"runs/tiny/{key}" for key in ("run_root", "results", "pages")}
        given = apart | given | {"seeds": 1}
    folders: dict[str, Any] = {key: Path(given[key]) for key in ("run_root", "results", "pages") if key in given}
    for folder in folders.values():
        require_folder(folder, RunError)
    return names, Options(**(given | folders))


def main() -> None:
    with cli.user_errors(trains=True):
        given = cli.arguments(USAGE.format(documents=", ".join(document.name for document in documents())))
        if reproduce(*parse(given)):
            sys.exit(1)


if __name__ == "__main__":
    main()
