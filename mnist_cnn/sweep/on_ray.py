"""A sweep on Ray: its jobs go to all machines of a cluster while the call watches; one whose machine is lost goes on
elsewhere from its last epoch."""

import importlib.util
import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mnist_cnn.config.python_values import command
from mnist_cnn.errors import ConfigError, ForeignError, UserError, in_one_line
from mnist_cnn.report.text import counted
from mnist_cnn.runs.directory import Run
from mnist_cnn.signals import stopping
from mnist_cnn.sweep.jobs import GO_ON, Task
from mnist_cnn.sweep.plan import Sweep, SweepJob
from mnist_cnn.sweep.progress import SweepDisplay
from mnist_cnn.sweep.ray_job import RayJob, train_on_ray

POLL_SECONDS = 0.5
ANSWER_SECONDS = 10.0  # for a cluster to be reached
STOP_SECONDS = 60.0  # for running jobs to stop when told


def run_on_ray(sweep: Sweep, task: Task, settings: dict[str, Any], new: bool) -> None:
    """Runs what is left of a sweep on a Ray cluster.

    Args:
        new: planned by this call.

    Raises:
        ConfigError: Ray is not installed.
        ForeignError: Ray refuses, or no cluster answers; as above, a new plan is taken back.
        RunError: another process runs this sweep.
        Interrupted: Ctrl-C or SIGTERM; the running jobs have saved their last complete epoch.
    """
    options = settings["ray"]["remote"]
    try:
        ray = _connect(settings["ray"]["init"])
        train = ray.remote(**options)(train_on_ray)
    except BaseException as error:
        if new:
            sweep.withdraw()
        if isinstance(error, Exception) and not isinstance(error, UserError):
            raise ForeignError(f"hydra/launcher: {in_one_line(error)}") from error
        raise
    again = command("train", "-m", resume=sweep.path)
    try:
        with Run(sweep.path).held(), stopping(lambda: GO_ON.format(again)):
            _run_what_is_left(sweep, task, ray, train, options)
    finally:
        ray.shutdown()


def _run_what_is_left(sweep: Sweep, task: Task, ray: Any, train: Any, options: Mapping[str, Any]) -> None:
    """Gives the cluster the jobs that are not complete and watches until all have ended."""
    todo = sweep.unfinished()
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needed = {"CPU": options["num_cpus"], "GPU": options["num_gpus"], **(options["resources"] or {})}
    at_once = sum(_room(machine, needed) for machine in machines)
    where = f"on Ray, {counted(len(machines), 'machine')}, {at_once} at once"
    print(f"sweep: {counted(len(sweep.jobs), 'job')}, {len(todo)} to run {where}, in {sweep.path}", flush=True)
    if not at_once:
        what = ", ".join(f"{name} {amount}" for name, amount in needed.items() if amount)
        print(f"no machine of the cluster has what a job needs ({what}); jobs wait for one", flush=True)
    display = SweepDisplay(sweep, max(1, at_once))
    shared = ray.put(RayJob(task, sweep.path, Path.cwd(), dict(os.environ)))
    for job in todo:
        sweep.forget_error(job)
    with display.live or nullcontext():
        for job, why in _ended({train.remote(shared, job): job for job in todo}, display):
            sweep.note_error(job, why)
            display.ended(job, why)


def _connect(given: Mapping[str, Any]) -> Any:
    """Ray, when it is there and its cluster answers."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(['hydra/launcher=ray: Ray is not installed; pip install "mnist-cnn[ray]"'])
    import ray

    address = str(given.get("address") or os.environ.get("RAY_ADDRESS", ""))
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        try:  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
        except OSError as error:
            raise ForeignError(f"hydra/launcher: no Ray answers at {address} ({error})") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to Ray's makers
    with warnings.catch_warnings(action="ignore"):  # of what Ray will do otherwise one day
        ray.init(**{"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False, **given})
    return ray


def _room(machine: Mapping[str, float], needed: Mapping[str, float]) -> int:
    """How many jobs a machine has room for."""
    return min((int(machine.get(name, 0) // amount) for name, amount in needed.items() if amount), default=1)


def _ended(jobs: Mapping[Any, SweepJob], display: SweepDisplay) -> Iterator[tuple[SweepJob, str | None]]:
    """Each job when it ends, and what ended it if it is not complete."""
    import ray

    pending = list(jobs)
    try:
        while pending:
            done, pending = ray.wait(pending, num_returns=len(pending), timeout=0)
            for each in done:
                yield jobs[each], _error(each)
            display.tick()
            time.sleep(POLL_SECONDS)  # not in Ray, which makes Ctrl-C of every signal
    except BaseException:
        for each in pending:
            ray.cancel(each)
        ray.wait(pending, num_returns=len(pending), timeout=STOP_SECONDS)
        raise


def _error(ended: Any) -> str | None:
    import ray
    from ray import exceptions

    try:
        why: str | None = ray.get(ended)
        return why
    except exceptions.NodeDiedError:
        return "ended by the loss of its machine"
    except exceptions.WorkerCrashedError:
        return "ended by the loss of its Ray worker, or of its machine"
    except exceptions.RayError as error:
        return f"ended by Ray: {in_one_line(error)}"
