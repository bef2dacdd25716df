"""`--multirun`: plans a sweep, runs its jobs side by side, shows them, survives their failures, sums them up."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig

from mnist_cnn.config import validate
from mnist_cnn.errors import ConfigError, Interrupted, RunError
from mnist_cnn.jobs import Job, cores, run_side_by_side, start_or_continue
from mnist_cnn.preflight import Call, compose_one
from mnist_cnn.report.sweep import summarize
from mnist_cnn.report.sweep_progress import SweepDisplay
from mnist_cnn.runs import Run
from mnist_cnn.sweeps import COMPLETED, Sweep, SweepJob, new_directory, newest_unfinished

SHARING_A_GPU = 4  # jobs side by side on one GPU: these nets leave most of it idle


def run_sweep(call: Call) -> int:
    """Runs a new sweep, or what is left of the one that `resume=` names; 0 if all jobs are complete, else 1.

    Raises:
        ConfigError: something is wrong with a job, and `bad_jobs=skip` was not given.
        RunError: nothing to resume.
        Interrupted: Ctrl-C or SIGTERM; the running jobs have saved their last complete epoch.
    """
    sweep = plan_sweep(call) if call.value("resume") is None else _resumed(call)
    first = next(job for job in sweep.jobs if job.problem is None)
    cfg = compose_one([*first.forced, *([f"jobs={call.value('jobs')}"] if call.value("jobs") is not None else [])])
    validate(cfg)
    at_once = jobs_at_once(cfg, len(sweep.jobs))
    with Run(sweep.path).held():
        todo = sweep.unfinished()
        print(f"sweep: {len(sweep.jobs)} jobs, {len(todo)} to run, {at_once} at once, in {sweep.path}", flush=True)
        with stop_on_sigterm(f"python -m mnist_cnn.train -m resume={sweep.path}"):
            _run(sweep, todo, at_once)
        print(summarize(sweep))
    states = [sweep.progress(job).state for job in sweep.jobs]
    return 0 if all(state == COMPLETED for state in states) else 1


@contextlib.contextmanager
def stop_on_sigterm(again: str) -> Iterator[None]:
    """SIGTERM or SIGHUP stops the running jobs as Ctrl-C does, and the message says how to go on."""

    def stop(*_: object) -> None:
        raise Interrupted(exit_code=143)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt as told:
        exit_code = told.exit_code if isinstance(told, Interrupted) else 130
        message = f"stopped; every complete epoch is saved. Continue with:\n  {again}"
        raise Interrupted(message, exit_code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(sweep: Sweep, todo: list[SweepJob], at_once: int) -> None:
    jobs = (Job(start_or_continue(sweep.run(job), job.forced), sweep.log_file(job), job) for job in todo)
    with SweepDisplay(sweep, at_once) as display:
        for ended in run_side_by_side(jobs, at_once, display.tick, lambda job: display.started(job.about)):
            sweep.note_error(ended.job.about, ended.error)
            display.ended(ended.job.about, ended.error)


def plan_sweep(call: Call) -> Sweep:
    """Checks every job and writes the plan of a new sweep.

    Raises:
        ConfigError: something is wrong with a job, and `bad_jobs=skip` was not given.
    """
    checked = call.jobs()
    bad = [f"{job.name}: {problem}" for job in checked for problem in job.problems]
    skip = call.value("bad_jobs") == "skip"
    if bad and (not skip or all(job.problems for job in checked)):
        raise ConfigError(bad)
    if skip and call.has_launcher():
        raise ConfigError(["bad_jobs=skip: does not go with hydra/launcher"])
    given = call.value("hydra.sweep.dir")
    root = Path(str(call.value("run_root") or "runs")).resolve()
    path = Path(str(given)).resolve() if given else new_directory(root)
    return Sweep.create(path, _own(call), checked, elsewhere=call.has_launcher())


def _resumed(call: Call) -> Sweep:
    arguments = _own(call)
    resume = str(call.value("resume"))
    if resume == "auto":
        root = Path(str(call.value("run_root") or "runs")).resolve()
        sweep = newest_unfinished(root, [a for a in arguments if not a.startswith("run_root=")] and arguments)
    else:
        sweep = Sweep.load(Path(resume).resolve())
        if sweep.is_search:
            raise RunError(f"{resume}: a search; continue it with python -m mnist_cnn.search directory={resume}")
        if arguments and sorted(arguments) != sorted(sweep.arguments):
            raise ConfigError([f"resume: a sweep continues as it was started: {' '.join(sweep.arguments)}"])
    return sweep


def _own(call: Call) -> list[str]:
    """The arguments that make the sweep what it is."""
    return [text for text in call.texts if not text.startswith(("hydra.", "resume=", "jobs="))]


def jobs_at_once(cfg: DictConfig, count: int, jobs: str | int | None = None) -> int:
    """`jobs`, or that of the configuration; for `auto` one job per core, or several to a GPU; at most `count`."""
    jobs = jobs or cfg.jobs
    if jobs != "auto":
        return min(int(jobs), count)
    on_gpu = cfg.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return max(1, min(count, cores(), SHARING_A_GPU if on_gpu else cores()))
