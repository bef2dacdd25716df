"""Runs trainings side by side, each in a process of its own with its share of the processor cores.

The processes are forked from a server that has imported everything once and computed nothing, so a job starts at once;
a job that crashes, runs out of memory or is killed takes no other with it, and its memory goes back when it ends.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

from mnist_cnn import NUMERICS
from mnist_cnn.errors import RunError
from mnist_cnn.runs import Run

# A process started for a job imports the program that was started, which the server has imported already.
warnings.filterwarnings("ignore", message=".*found in sys.modules after import of package", category=RuntimeWarning)
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Job:
    """One training: arguments of `python -m mnist_cnn.train`, and the file that takes all it prints."""

    arguments: list[str]
    log_file: Path
    about: Any = field(compare=False, default=None)


@dataclass(frozen=True)
class Finished:
    """How a job ended; `error` is the last line it printed, or how it was killed; None after a success."""

    job: Job
    seconds: float
    error: str | None


def start_or_continue(run: Run, overrides: Sequence[str], digest: str | None = None) -> list[str]:
    """Arguments that start a run, or continue what an earlier call left half done.

    What cannot be continued, because no epoch was complete or the configuration (by `digest`) or the code is another
    one now, is moved aside.

    Raises:
        RunError: another process is training this run.
    """
    if run.config_file.exists():
        if run.busy:
            raise RunError(f"{run.path}: another process is training this run")
        metrics = run.metrics()
        same = metrics.get("numerics") == NUMERICS and digest in (None, metrics.get("config_digest"))
        if same and run.checkpoint("last").exists() and not run.completed:
            return [f"resume='{run.path}'"]
        _move_aside(run.path)
    return [*overrides, f"hydra.run.dir='{run.path}'"]


def _move_aside(path: Path) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.old{number}")).exists():
        number += 1
    path.rename(aside)


def cores() -> int:
    """Processor cores that this process may use, which on a shared machine are not all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_side_by_side(
    jobs: Iterable[Job],
    at_once: int,
    tick: Callable[[], None] = lambda: None,
    started: Callable[[Job], None] = lambda job: None,
) -> Iterator[Finished]:
    """Yields each job when it ends, a failed one too; stops the running ones when the caller is interrupted.

    Args:
        jobs: the next one is taken when there is room for it.
        at_once: jobs side by side; each gets an equal share of the cores as threads (`OMP_NUM_THREADS` at most).
        tick: called several times a second while jobs run.
        started: called with each job that starts.
    """
    threads = min(max(1, cores() // at_once), int(os.environ.get("OMP_NUM_THREADS", cores())))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mnist_cnn.train"])
    waiting = iter(jobs)
    exhausted = False
    running: dict[ForkServerProcess, tuple[Job, float]] = {}
    try:
        while running or not exhausted:
            while not exhausted and len(running) < at_once:
                job = next(waiting, None)
                if job is None:
                    exhausted = True
                    break
                job.log_file.parent.mkdir(parents=True, exist_ok=True)
                process = context.Process(target=_train, args=(job, threads, dict(os.environ)))
                process.start()
                running[process] = (job, time.monotonic())
                started(job)
            for process in [p for p in running if p.exitcode is not None]:
                job, began = running.pop(process)
                yield Finished(job, time.monotonic() - began, _error(job, process.exitcode or 0))
            tick()
            time.sleep(POLL_SECONDS)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def _train(job: Job, threads: int, environment: dict[str, str]) -> None:
    os.setpgrp()  # Ctrl-C in a terminal reaches the caller alone, which then stops its jobs
    threading.Thread(target=_stop_with_caller, daemon=True).start()
    os.environ.update(environment | {"OMP_NUM_THREADS": str(threads)})
    with job.log_file.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    torch.set_num_threads(threads)
    sys.argv[:] = ["train", *job.arguments]
    from mnist_cnn.train import main  # not above: entry points import this module

    try:
        main()
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def _stop_with_caller() -> None:
    """A caller that is killed outright must not leave jobs behind."""
    caller = multiprocessing.parent_process()
    assert caller is not None
    caller.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _error(job: Job, exit_code: int) -> str | None:
    if exit_code == 0:
        return None
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    text = job.log_file.read_text(errors="replace") if job.log_file.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else f"exit code {exit_code}"
