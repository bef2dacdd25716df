"""A sweep on SLURM: its jobs go into the queue, and the call may end or watch them; all that is known lies in files."""

import contextlib
import io
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_cnn.config.python_values import command
from mnist_cnn.errors import ForeignError, RunError, in_one_line
from mnist_cnn.files import read_text, write_atomically
from mnist_cnn.report.text import counted
from mnist_cnn.runs.directory import Run
from mnist_cnn.signals import stopping
from mnist_cnn.sweep.cluster_job import ClusterJob
from mnist_cnn.sweep.jobs import Task, last_line
from mnist_cnn.sweep.plan import Sweep, SweepJob
from mnist_cnn.sweep.progress import SweepDisplay
from mnist_cnn.sweep.slurm import NoAnswer, Standing, messages_in, most_in_array, standing, why_ended
from mnist_cnn.sweep.states import RUNNING, TO_RUN, WAITING

POLL_SECONDS = 3.0
TOLD_EVERY = 30.0  # seconds between two lines about the queue
FILES = ".submitit"  # of a sweep: what submitit and SLURM leave of each job
SHARED = (  # what submitit calls the same on every kind of cluster
    "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name", "stderr_to_stdout",
)  # fmt: skip
OF_LAUNCHER = ("submitit_folder", "max_num_timeout")  # no settings of a job


def run_on_slurm(sweep: Sweep, task: Task, settings: dict[str, Any], new: bool, detach: bool) -> None:
    """Puts into the queue what is left to run and is not there yet, and watches it unless told to `detach`.

    Args:
        new: planned by this call.

    Raises:
        ForeignError: SLURM, or submitit, refuses; where no job was put into the queue the plan is taken back.
        RunError: SLURM does not answer, so nobody knows which jobs it has.
        Interrupted: Ctrl-C; the jobs go on.
    """
    try:
        look(sweep, strict=True)
        todo = [job for job in sweep.unfinished() if job.number not in sweep.in_queue]
        _submit(sweep, todo, task, settings)
    except BaseException:
        if not _ids_file(sweep).exists():
            shutil.rmtree(sweep.path / FILES, ignore_errors=True)
            if new:
                sweep.withdraw()
        raise
    ids = sorted({job_id.partition("_")[0] for job_id in _ids(sweep).values()})
    queue = f"the queue of SLURM ({', '.join(ids)})"
    print(f"sweep: {counted(len(sweep.jobs), 'job')}, {len(todo)} put into {queue}, in {sweep.path}", flush=True)
    again = command("train", "-m", resume=sweep.path)
    how = f"jobs go on. Watch them:\n  {again}\nEnd them:\n  scancel {' '.join(ids)}"
    if detach:
        print(f"The {how}")
        return
    with stopping(lambda: f"the {how}"):
        _watch(sweep)


def require_none_there(sweep: Sweep) -> None:
    """Before its jobs are run on this machine.

    Raises:
        RunError: SLURM still has some of them, or does not answer.
    """
    look(sweep, strict=True)
    if sweep.in_queue:
        again = command("train", "-m", resume=sweep.path)
        raise RunError(f"{sweep.path}: SLURM has {len(sweep.in_queue)} of its jobs; end them with scancel, or: {again}")


def look(sweep: Sweep, strict: bool = False) -> dict[int, Standing]:
    """Asks SLURM for the jobs of a sweep that are still open, and notes why those ended that did not complete.

    Raises:
        NoAnswer: with `strict` RunError; nothing can be said.
    """
    ids = {
        number: each
        for number, each in _ids(sweep).items()
        if sweep.progress(sweep.jobs[number]).state in (*TO_RUN, RUNNING)
    }
    try:
        found = standing(ids.values())
    except NoAnswer as error:
        if strict and ids:
            raise RunError(f"{sweep.path}: its jobs are on SLURM, which does not answer ({error})") from error
        raise
    sweep.in_queue = {
        number: WAITING if found[each].waits else RUNNING
        for number, each in ids.items()
        if each in found and not found[each].ended
    }
    for number, each in ids.items():
        job = sweep.jobs[number]
        if number not in sweep.in_queue and sweep.noted_error(job) is None:
            _note(sweep, job, each, found.get(each))
    return {number: found[each] for number, each in ids.items() if each in found}


def _note(sweep: Sweep, job: SweepJob, job_id: str, last: Standing | None) -> None:
    now = sweep.progress(job)
    if now.state in TO_RUN:
        why = why_ended(last.state if last else "", messages_in(sweep.path / FILES, job_id))
        sweep.note_error(job, why or now.error or last_line(sweep.log_file(job)) or "ended without a word")


def _submit(sweep: Sweep, todo: Sequence[SweepJob], task: Task, settings: dict[str, Any]) -> None:
    import submitit

    folder = sweep.path / FILES
    most_timeouts = settings["max_num_timeout"]
    given = {key: value for key, value in settings.items() if key not in OF_LAUNCHER}
    try:
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=most_timeouts)
        executor.update_parameters(**{key if key in SHARED else f"slurm_{key}": value for key, value in given.items()})
        most, function = most_in_array(), ClusterJob(task, sweep.path, goes_back=most_timeouts > 0)
        for start in range(0, len(todo), most):
            part = todo[start : start + most]
            with contextlib.redirect_stderr(io.StringIO()):  # submitit shows what it also raises
                jobs = executor.map_array(function, [job.number for job in part])
            ids = _ids(sweep) | {job.number: queued.job_id for job, queued in zip(part, jobs, strict=True)}
            write_atomically(_ids_file(sweep), json.dumps(ids).encode())
            for job in part:
                sweep.forget_error(job)
    except (RuntimeError, OSError, ValueError, NoAnswer) as error:
        raise ForeignError(f"hydra/launcher: {in_one_line(error)}") from error


def _ids_file(sweep: Sweep) -> Path:
    return sweep.path / "slurm.json"


def _ids(sweep: Sweep) -> dict[int, str]:
    """SLURM's name of each job that was put into its queue, the last one: `12_3`."""
    file = _ids_file(sweep)
    if not file.exists():
        return {}
    try:
        return {int(number): str(each) for number, each in json.loads(read_text(file, RunError)).items()}
    except (ValueError, AttributeError):
        raise RunError(f"{file}: not the jobs of a sweep; without it they count as such that SLURM has not") from None


def _watch(sweep: Sweep) -> None:
    """Shows the jobs until SLURM has none of them any more."""
    display = SweepDisplay(sweep, at_once=1)
    said, told, away = "", 0.0, False
    with Run(sweep.path).held(), display.live or contextlib.nullcontext():
        while True:
            try:
                found = look(sweep)
                away = False
            except NoAnswer as error:
                if not away:
                    print(f"SLURM does not answer ({error}); its jobs go on, and it will be asked again", flush=True)
                away = True
                time.sleep(POLL_SECONDS)
                continue
            for number in [n for n in _ids(sweep) if n not in sweep.in_queue and n not in display.settled]:
                display.ended(sweep.jobs[number], sweep.progress(sweep.jobs[number]).error)
            if not sweep.in_queue:
                return
            display.at_once = max(1, sum(state == RUNNING for state in sweep.in_queue.values()))
            words = _queue(sweep, found)
            if display.live is None and words != said and time.monotonic() - told > TOLD_EVERY:
                said, told = words, time.monotonic()
                print(words, flush=True)
            display.tick()
            time.sleep(POLL_SECONDS)


def _queue(sweep: Sweep, found: dict[int, Standing]) -> str:
    """Where the jobs stand in one line."""
    states = list(sweep.in_queue.values())
    reasons = sorted({found[n].reason for n, state in sweep.in_queue.items() if state == WAITING} - {"None", ""})
    waiting = f", {states.count(WAITING)} waiting" + (f" ({', '.join(reasons)})" if reasons else "")
    ended = len(sweep.jobs) - len(states)
    return f"SLURM: {states.count(RUNNING)} running{waiting * (WAITING in states)}, {ended} of {len(sweep.jobs)} ended"
