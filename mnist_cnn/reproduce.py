"""Runs the documents' experiments, what is missing of them, and writes the page that compares them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import mean

from mnist_cnn import NUMERICS
from mnist_cnn.cli import user_errors
from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.jobs import Job, run_side_by_side, start_or_continue
from mnist_cnn.multirun import stop_on_sigterm
from mnist_cnn.report.study import write_pages
from mnist_cnn.report.study_rows import typical_seconds
from mnist_cnn.runs import Run
from mnist_cnn.study import PROTOCOLS, Results, StudyRun, chosen, documents, plan

USAGE = """\
Runs the documents' experiments that are missing from the results, and writes the page that compares them.

  python -m mnist_cnn.reproduce                               everything: many hours
  python -m mnist_cnn.reproduce ablation seeds=3 jobs=2       one document
  python -m mnist_cnn.reproduce ablation/baseline             one experiment

  seeds=N              seeds 1 to N of each (default: 5, under holdout 3, fewer for the large nets)
  jobs=N               runs side by side, each with its share of the cores (default 1)
  protocol=NAME        document or holdout (default: document; holdout too for nets under 100,000 parameters)
  run_root=FOLDER      where runs go (default runs/reproduction)
  results=FOLDER       where figures are kept (default results/reproduction)
  pages=FOLDER         where the pages go (default docs/reproduction)
  dry_run=true         only say what would run

Documents: {documents}
It can be stopped and started again: a finished run is skipped, a half-done one continues."""


@dataclass
class Options:
    seeds: int | None = None
    jobs: int = 1
    protocol: str | None = None
    run_root: Path = Path("runs/reproduction")
    results: Path = Path("results/reproduction")
    pages: Path = Path("docs/reproduction")
    dry_run: bool = False


def reproduce(names: Sequence[str], options: Options) -> int:
    """Runs what is missing of the named documents and experiments; returns how many runs failed."""
    runs = plan(chosen(names, documents()), options.seeds, options.protocol)
    results = Results(options.results)
    missing = [run for run in runs if results.of(run) is None]
    print(f"{len(runs)} runs: {len(runs) - len(missing)} done, {len(missing)} to do", flush=True)
    if options.dry_run:
        print("\n".join(str(run) for run in missing))
        return 0
    again = "the same command: finished runs are skipped"
    with Run(options.run_root).held(), stop_on_sigterm(again):
        failed = run_missing(missing, runs, results, options)
    write_pages(documents(), results, options.pages)
    print(f"pages: {options.pages}")
    return failed


def run_missing(missing: list[StudyRun], runs: list[StudyRun], results: Results, options: Options) -> int:
    twins = {(run.digest, run.seed): run for run in missing}  # the last of equal ones is trained
    trained = [run for run in missing if twins[run.digest, run.seed] is run]
    for run in list(trained):
        directory = Run(options.run_root / run.path)
        metrics = directory.metrics()
        if directory.completed and (metrics["config_digest"], metrics["numerics"]) == (run.digest, NUMERICS):
            results.keep(run, directory)  # finished when an earlier call was killed
            trained.remove(run)
    failed = []
    left = list(trained)
    root = options.run_root
    jobs = (
        Job(start_or_continue(Run(root / run.path), run.overrides, run.digest), root / f"{run.path}.log", run)
        for run in trained
    )
    for ended in run_side_by_side(jobs, options.jobs):
        run = ended.job.about
        left.remove(run)
        directory = Run(root / run.path)
        if ended.error is None:
            results.keep(run, directory)
            for twin in missing:
                if twin is not run and (twin.digest, twin.seed) == (run.digest, run.seed):
                    results.share(run, twin)
            outcome = f"test accuracy {directory.metrics()['figures']['test/acc']:.2%}, {ended.seconds:.0f} s"
        else:
            failed.append(run)
            outcome = f"failed: {ended.error} (log: {ended.job.log_file})"
        done = len(trained) - len(left)
        print(f"[{done}/{len(trained)}] {run}: {outcome}{time_left(left, runs, results, options.jobs)}", flush=True)
    if failed:
        print(f"{len(failed)} of {len(trained)} runs failed:", *failed, sep="\n  ", file=sys.stderr)
    return len(failed)


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
    names, options, problems = [], Options(), []
    allowed = [f.name for f in fields(Options)]
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not sign:
            names.append(argument)
        elif key not in allowed:
            problems.append(f"{key}: unknown option{nearest(key, allowed)}")
        elif key in ("seeds", "jobs"):
            if not value.isdecimal() or int(value) < 1:
                problems.append(f"{argument}: must be a whole number >= 1")
            else:
                setattr(options, key, int(value))
        elif key == "protocol" and value not in PROTOCOLS:
            problems.append(f"{argument}: must be {' or '.join(PROTOCOLS)}")
        elif key == "dry_run":
            options.dry_run = value == "true"
        else:
            setattr(options, key, value if key == "protocol" else Path(value))
    if problems:
        raise ConfigError(problems)
    return names, options


def main() -> None:
    with user_errors():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(USAGE.format(documents=", ".join(document.name for document in documents())))
            return
        names, options = parse(sys.argv[1:])
        if reproduce(names, options):
            sys.exit(1)


if __name__ == "__main__":
    main()
