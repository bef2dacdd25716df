"""A sweep directory: the jobs that were planned, and what became of each, read from the files that it left."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mnist_cnn.config.call import CheckedJob
from mnist_cnn.config.python_values import setting
from mnist_cnn.errors import RunError
from mnist_cnn.files import DUMPER, MIB, read_yaml, require_folder, write_atomically
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.layout import CONFIG, PLAN
from mnist_cnn.runs.record import in_words
from mnist_cnn.sweep.states import FAILED, REFUSED, RUNNING, TO_RUN, WAITING, Progress, state_of

OF_SEARCH = ("callbacks.pruning", "figures=", "test=")  # given to every trial
STUDY = "search"  # name of a study in a file of its own
OF_HYDRA = "multirun.yaml"  # what its launchers begin with
MOST = 16 * MIB  # of a plan: ten thousand jobs


@dataclass(frozen=True)
class SweepJob:
    """One planned run; `problem` says why it is not run at all."""

    number: int
    overrides: list[str]
    forced: list[str]
    epochs: int
    seed: int
    problem: str | None = None

    def values(self) -> dict[str, str]:
        """Overrides as key and value."""
        pairs = (text.lstrip("+~").partition("=") for text in self.overrides)
        return {key: value for key, _, value in pairs}


class Plan(BaseModel):
    """What sweep.yaml holds: of a sweep its jobs, of a search the space that its trials are of.

    Args:
        storage: of a search, as its setting says; `study`: its name there.
        settings: of a search, its others by name; those of earlier versions kept none.
        elsewhere: one of Hydra's own launchers runs the jobs.
        launcher: the words that name it where it is SLURM or Ray, which this package gives the jobs itself.
    """

    arguments: list[str]
    jobs: list[SweepJob] | None = None
    space: dict[str, Any] | None = None
    storage: str | None = None
    study: str = STUDY
    settings: dict[str, Any] = {}
    elsewhere: bool = False
    launcher: list[str] = []


def read_plan(path: Path) -> Plan:
    """Of a directory.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    if not (path / PLAN).exists():
        raise RunError(f"{path}: not a sweep directory (no {PLAN})")
    try:
        plan = Plan.model_validate(read_yaml(path / PLAN, RunError, MOST))
    except ValidationError as error:
        raise RunError(f"{path / PLAN}: not the plan of a sweep ({in_words(error)}); put back what was there") from None
    if (plan.jobs is None) == (plan.space is None):
        raise RunError(f"{path / PLAN}: not the plan of a sweep (neither jobs nor a space); put back what was there")
    return plan


class Sweep:
    """A sweep on disk; each job has the directory of its number, with a log of all it printed beside it."""

    def __init__(
        self,
        path: Path,
        arguments: list[str],
        jobs: list[SweepJob],
        is_search: bool = False,
        elsewhere: bool = False,
        launcher: Sequence[str] = (),
    ) -> None:
        self.path, self.arguments, self.jobs = path, arguments, jobs
        self.is_search = is_search
        self.elsewhere = elsewhere  # one of Hydra's own launchers runs the jobs
        self.launcher = list(launcher)  # of SLURM or Ray
        self.in_queue: dict[int, str] = {}  # states of the jobs that SLURM has, as far as it was asked
        self.made: list[Path] = []  # folders that were not there before it was planned, the innermost first

    @classmethod
    def create(
        cls,
        path: Path,
        arguments: list[str],
        checked: Sequence[CheckedJob],
        elsewhere: bool = False,
        launcher: Sequence[str] = (),
    ) -> "Sweep":
        """Plans a sweep in a new directory.

        Raises:
            RunError: the directory already holds a sweep, or a run where a job would go.
        """
        require_folder(path, RunError)
        if (path / CONFIG).exists():
            raise RunError(f"{path}: holds a run; name another directory for the sweep")
        if (path / PLAN).exists():
            raise RunError(
                f"{path}: already holds a sweep; continue it with -m {setting('resume', path)}, or name another"
            )
        for job in checked:
            if (there := path / str(job.number) / CONFIG).exists():
                words = "holds a run, where a job would go; name another directory for the sweep"
                raise RunError(f"{there.parent}: {words}")
        jobs = [
            SweepJob(job.number, job.overrides, job.forced, job.cfg.trainer.get("max_epochs") or 0,
                     job.cfg.get("seed"), "; ".join(job.problems) or None)
            for job in checked
        ]  # fmt: skip
        path.mkdir(parents=True, exist_ok=True)
        how = {"elsewhere": elsewhere} | ({"launcher": list(launcher)} if launcher else {})
        plan = {"arguments": arguments, **how, "jobs": [vars(job) for job in jobs]}
        write_atomically(path / PLAN, yaml.dump(plan, Dumper=DUMPER, sort_keys=False).encode())
        return cls(path, arguments, jobs, elsewhere=elsewhere, launcher=launcher)

    @classmethod
    def load(cls, path: Path) -> "Sweep":
        """Raises RunError if there is no sweep, or a plan that cannot be read."""
        plan = read_plan(path)
        jobs = plan.jobs if plan.jobs is not None else _found_in(path)
        return cls(path, plan.arguments, jobs, plan.jobs is None, plan.elsewhere, plan.launcher)

    def withdraw(self) -> bool:
        """Takes the plan back, and the folders made for it, unless a job or a launcher left something."""
        files = [self.path / PLAN, self.path / OF_HYDRA]
        if not {*self.path.iterdir()} <= {*files}:
            return False
        for file in files:
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # one of them holds something
            for folder in self.made:
                folder.rmdir()
        return True

    @property
    def noun(self) -> str:
        return "trial" if self.is_search else "job"

    def run(self, job: SweepJob) -> Run:
        return Run(self.path / str(job.number))

    def log_file(self, job: SweepJob) -> Path:
        return self.path / f"{job.number}.log"

    def progress(self, job: SweepJob) -> Progress:
        if job.problem is not None:
            return Progress(REFUSED, error=job.problem)
        run = self.run(job)
        record, rows = run.record(), run.history()
        state = state_of(record, run, self.log_file(job))
        if job.number in self.in_queue and state in (*TO_RUN, RUNNING):
            state = self.in_queue[job.number]
        best = max((row["val/acc"] for row in rows if "val/acc" in row), default=None)
        expected = record.expected_epoch_seconds if record is not None else None
        seconds = mean(row["seconds"] for row in rows) if rows else expected
        error = record.error if record is not None else None
        noted = self.noted_error(job) if state in TO_RUN and job.number not in self.in_queue else None
        if noted and (error is None or self.launcher):
            error, state = noted, FAILED if state == WAITING else state
        return Progress(state, len(rows), best, seconds, error)

    def note_error(self, job: SweepJob, error: str | None) -> None:
        """Keeps why a job ended, which a job that was killed cannot write itself."""
        if error is not None:
            write_atomically(self._error_file(job), error.encode())

    def noted_error(self, job: SweepJob) -> str | None:
        file = self._error_file(job)
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None

    def forget_error(self, job: SweepJob) -> None:
        """Before it is started again."""
        self._error_file(job).unlink(missing_ok=True)

    def _error_file(self, job: SweepJob) -> Path:
        return self.path / f"{job.number}.error"

    def unfinished(self) -> list[SweepJob]:
        """Those that are still to be started, by this call or by SLURM."""
        return [job for job in self.jobs if self.progress(job).state in TO_RUN]

    def swept(self) -> list[str]:
        """The keys that differ between jobs, in the order of the call."""
        given = [job.values() for job in self.jobs]
        keys = dict.fromkeys(key for values in given for key in values)
        return [key for key in keys if len({values.get(key) for values in given}) > 1]


def _found_in(path: Path) -> list[SweepJob]:
    """The trials of a search, which has no plan: those that wrote their configuration."""
    jobs = []
    for file in path.glob("*/config.yaml"):
        run = Run(file.parent)
        if run.path.name.isdecimal():
            overrides = [text for text in run.overrides() if not text.startswith(OF_SEARCH)]
            cfg = run.config()
            jobs.append(SweepJob(int(run.path.name), overrides, overrides, cfg.trainer.max_epochs, cfg.seed))
    return sorted(jobs, key=lambda job: job.number)
