"""Runs commands side by side, each as a process of its own with its share of the processor cores."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.2
PR_SET_PDEATHSIG = 1  # prctl.h


@dataclass
class Finished:
    """How a job ended; `error` is the last line it printed, or None after a success."""

    job: Any
    seconds: float
    error: str | None


def run_side_by_side(
    jobs: list[Any], command: Callable[[Any], list[str]], log_file: Callable[[Any], Path], at_once: int
) -> Iterator[Finished]:
    """Yields each job when it ends, a failed one too; stops the running ones when the caller is interrupted.

    Args:
        command: arguments for the Python interpreter.
        log_file: takes what the job prints.
        at_once: jobs side by side; each gets an equal share of the cores as threads.
    """
    threads = max(1, (os.cpu_count() or 1) // at_once)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    waiting = list(reversed(jobs))
    running: dict[subprocess.Popen[bytes], tuple[Any, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop()
                log_file(job).parent.mkdir(parents=True, exist_ok=True)
                with log_file(job).open("wb") as output:
                    process = subprocess.Popen(
                        [sys.executable, *command(job)], stdin=subprocess.DEVNULL, stdout=output,
                        stderr=subprocess.STDOUT, env=environment, preexec_fn=_die_with_parent,
                    )  # fmt: skip
                running[process] = (job, time.monotonic())
            for process in [p for p in running if p.poll() is not None]:
                job, began = running.pop(process)
                error = _last_line(log_file(job), process.returncode) if process.returncode else None
                yield Finished(job, time.monotonic() - began, error)
            time.sleep(POLL_SECONDS)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _die_with_parent() -> None:
    """A caller that is killed outright must not leave jobs behind that hold their run directories."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _last_line(log_file: Path, exit_code: int) -> str:
    lines = [line for line in log_file.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {exit_code}"
