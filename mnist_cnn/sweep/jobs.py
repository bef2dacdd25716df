"""Runs trainings side by side, each in a process of its own with its share of the processor cores.

On Linux they are forked from a server that has imported everything once and computed nothing, so a job starts at once;
a job that crashes, runs out of memory or is killed takes no other with it, and its memory goes back when it ends.
"""

import contextlib
import gc
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from mnist_cnn import NUMERICS
from mnist_cnn.cli import user_errors
from mnist_cnn.config.schema import validate
from mnist_cnn.errors import ConfigError, RunError, UserError
from mnist_cnn.runs.checkpoint import find_checkpoint
from mnist_cnn.runs.directory import Run, move_aside
from mnist_cnn.runs.settings import settings_digest
from mnist_cnn.signals import stopped_by_another
from mnist_cnn.speed import huge_pages
from mnist_cnn.speed.threads import free_cores

POLL_SECONDS = 0.2
KILLED = "killed by"
GO_ON = "every complete epoch is saved. Continue with:\n  {}"
Task = Callable[[DictConfig, Run, list[str], Path | None], Any]  # what `train.train` takes


@dataclass(frozen=True)
class Job:
    """One training: its configuration and directory, and the file that takes all it prints.

    Args:
        overrides: what was asked for, for the record.
        goes_on: from the newest good checkpoint in its directory, if there is any.
        about: of the caller's own.
    """

    cfg: DictConfig
    run: Run
    overrides: list[str]
    log_file: Path
    goes_on: bool = False
    about: Any = field(compare=False, default=None)


@dataclass(frozen=True)
class Finished:
    """How a job ended; `error` is the last line it printed, or how it was killed; None after a success."""

    job: Job
    seconds: float
    error: str | None

    @property
    def killed(self) -> bool:
        return (self.error or "").startswith(KILLED)


def start_or_continue(cfg: DictConfig, run: Run, overrides: list[str], log_file: Path, about: Any = None) -> Job:
    """A job that starts a run, or continues what an earlier call left half done.

    What cannot be continued, because the settings or the code are others now, is moved aside.

    Raises:
        RunError: another process is training this run.
    """
    if run.config_file.exists():
        if run.busy:
            raise RunError(f"{run.path}: another process is training this run")
        saved, record = run.config(), run.record()
        same = settings_digest(saved) == settings_digest(cfg) and saved.seed == cfg.seed
        goes_on = record is not None and record.numerics == NUMERICS and not record.completed
        if same and (goes_on or run.unbegun):
            return Job(saved, run, run.overrides(), log_file, True, about)
        move_aside(run.path)
    return Job(cfg, run, overrides, log_file, False, about)


def refused(log_file: Path, error: UserError) -> str:
    """Says in the file of a job why it cannot be started; returns it in a line."""
    text = "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
    with log_file.open("a", encoding="utf-8") as log:
        log.write(f"error: {text}\n")
    return text


def threads_each(at_once: int) -> int:
    """Threads of each of some jobs side by side."""
    free = free_cores()
    most = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # OpenMP takes one number for each level
    return min(max(1, free // at_once), int(most) if most.isdecimal() and int(most) else free)


def run_side_by_side(
    jobs: Iterable[Job],
    task: Task,
    at_once: int,
    tick: Callable[[], None] = lambda: None,
    started: Callable[[Job], None] = lambda job: None,
) -> Iterator[Finished]:
    """Yields each job when it ends, a failed one too; stops the running ones when the caller is interrupted.

    Args:
        jobs: the next one is taken when there is room for it.
        task: trains one; other processes import it by name.
        at_once: jobs side by side; each gets an equal share of the cores as threads (`OMP_NUM_THREADS` at most).
        tick: called several times a second while jobs run.
        started: called with each job that starts.
    """
    threads = threads_each(at_once)
    method = "forkserver" if sys.platform == "linux" else "spawn"  # on macOS libraries may not be forked with
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([task.__module__, "mnist_cnn.speed.fast"])
    waiting = iter(jobs)
    running: dict[BaseProcess, tuple[Job, float]] = {}
    try:
        while True:
            for job in itertools.islice(waiting, at_once - len(running)):
                job.log_file.parent.mkdir(parents=True, exist_ok=True)
                process = context.Process(target=_train, args=(task, job, threads, dict(os.environ)))
                with _for_new_processes():
                    process.start()
                running[process] = (job, time.monotonic())
                started(job)
            if not running:
                return
            for process in [p for p in running if p.exitcode is not None]:
                job, began = running.pop(process)
                yield Finished(job, time.monotonic() - began, _error(job, process.exitcode or 0))
            tick()
            connection.wait([process.sentinel for process in running], POLL_SECONDS)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


@contextlib.contextmanager
def _for_new_processes() -> Iterator[None]:
    """New processes ask for huge pages, and do not run the program again that the caller is.

    Python would import that program in every one of them, for functions that it may hold: a script without a
    `__main__` guard would start its sweep anew. The jobs hold nothing of it.
    """
    program, pages = sys.modules["__main__"], os.environ.get(huge_pages.VARIABLE)
    sys.modules["__main__"] = types.ModuleType("__main__")
    huge_pages.ask_for()
    try:
        yield
    finally:
        sys.modules["__main__"] = program
        if pages is None:
            del os.environ[huge_pages.VARIABLE]


def _train(task: Task, job: Job, threads: int, environment: dict[str, str]) -> None:
    if hasattr(os, "setpgrp"):  # Ctrl-C in a terminal reaches the caller alone, which then stops its jobs
        os.setpgrp()
    stopped_by_another()
    gc.freeze()  # what the server imported stays: nothing to look through, and its memory stays shared
    threading.Thread(target=_stop_with_caller, daemon=True).start()
    os.environ.update(environment | {"OMP_NUM_THREADS": str(threads)})
    with job.log_file.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    # On Windows what was opened as a console cannot write to a file, and has the encoding of the system.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", closefd=False) for number in (1, 2))
    torch.set_num_threads(threads)
    try:
        with user_errors():
            train_job(task, job)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def train_job(task: Task, job: Job) -> None:
    """In this process.

    Raises:
        UserError: its own; ConfigError before anything is built.
    """
    validate(job.cfg)  # files of a sweep or a run may have changed, and must not name what is to be called
    found = find_checkpoint(job.run) if job.goes_on else None
    task(job.cfg, job.run, job.overrides, found[0] if found else None)


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
        return f"{KILLED} {signal.Signals(-exit_code).name}"
    return last_line(job.log_file) or f"exit code {exit_code}"


def last_line(log_file: Path) -> str:
    """What a job printed last, which is what ended it; empty where there is nothing."""
    text = log_file.read_text(encoding="utf-8", errors="replace") if log_file.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""
