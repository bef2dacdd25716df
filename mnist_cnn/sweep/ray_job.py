"""What Ray calls for a job of a sweep, on any machine: it goes on where an earlier start of the same job was lost."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from mnist_cnn.config.compose import compose_run
from mnist_cnn.errors import UserError
from mnist_cnn.runs.claim import take_over
from mnist_cnn.sweep.jobs import Task, refused, run_side_by_side, start_or_continue
from mnist_cnn.sweep.plan import Sweep, SweepJob


@dataclass(frozen=True)
class RayJob:
    """What all jobs of a sweep share.

    Args:
        path: of the sweep.
        folder: that of the call, from which relative paths are meant.
        environment: of the call; what a machine says otherwise itself counts there.
    """

    task: Task
    path: Path
    folder: Path
    environment: dict[str, str]


def train_on_ray(shared: RayJob, job: SweepJob) -> str | None:
    """In a process of its own, which a worker of Ray starts: a training that crashes takes no worker with it.

    Returns:
        what ended it, if it is not complete.
    """
    sweep = Sweep(shared.path, [], [job])
    run = sweep.run(job)
    if not shared.folder.is_dir() or not shared.path.is_dir():
        where = f"{shared.folder} and {shared.path}"
        return f"{platform.node()} does not have {where}: all machines must see the same folders"
    os.chdir(shared.folder)
    os.environ.update(shared.environment | dict(os.environ))
    try:
        take_over(run)
        if run.completed:
            return None
        ready = start_or_continue(compose_run(job.forced).cfg, run, job.overrides, sweep.log_file(job), job)
    except UserError as error:
        return refused(sweep.log_file(job), error)
    [ended] = run_side_by_side([ready], shared.task, 1)
    return ended.error
