"""What SLURM starts for a job of a sweep: it goes on where an earlier start of the same job was stopped or lost."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mnist_cnn import signals
from mnist_cnn.cli import user_errors
from mnist_cnn.config.compose import compose_run
from mnist_cnn.errors import Interrupted, RunError
from mnist_cnn.runs.claim import take_over
from mnist_cnn.sweep.jobs import Task, start_or_continue, train_job
from mnist_cnn.sweep.plan import Sweep
from mnist_cnn.sweep.slurm import is_running


@dataclass(frozen=True)
class ClusterJob:
    """Pickled by submitit, and called with the number of a job.

    Args:
        path: of the sweep.
        goes_back: whether a time limit puts it back into the queue.
    """

    task: Task
    path: Path
    goes_back: bool

    def checkpoint(self, number: int) -> Any:
        """What submitit starts when it has put the job back: the same, as all that matters lies in files."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)

    def __call__(self, number: int) -> None:
        from submitit import JobEnvironment

        signal.signal(signal.SIGCONT, signal.SIG_DFL)  # submitit would write a line, perhaps in the middle of another
        put_back: Any = signal.getsignal(signal.SIGUSR2)  # submitit's, which comes before the time limit
        if not self.goes_back:
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        sweep = Sweep.load(self.path)
        job = sweep.jobs[number]
        with sweep.log_file(job).open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if threads := os.environ.get("SLURM_CPUS_PER_TASK"):  # where SLURM pins no process, all cores look free
            os.environ["OMP_NUM_THREADS"] = threads
            torch.set_num_threads(int(threads))
        with user_errors():
            run = sweep.run(job)
            take_over(run)
            if run.completed:
                return
            epochs = len(run.history())
            try:
                with signals.raising(signal.SIGUSR2):
                    cfg = compose_run(job.forced).cfg
                    train_job(self.task, start_or_continue(cfg, run, job.overrides, sweep.log_file(job), job))
            except Interrupted as stop:
                signals.ignore()
                limit = stop.exit_code == 128 + signal.SIGUSR2
                if limit and len(run.history()) == epochs:
                    raise RunError("not one epoch fits into its time limit: raise hydra.launcher.timeout_min") from None
                # SLURM puts back what it preempts only if it had to kill it: one that stops when told has ended.
                if limit or is_running(JobEnvironment().job_id):
                    print(f"{stop}\nback into the queue of SLURM", flush=True)
                    put_back(signal.SIGUSR2, None)  # ends this process
                raise
