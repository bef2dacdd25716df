"""`--multirun`: plans a sweep, runs its jobs side by side, shows them, survives their failures, sums them up."""

import os
import signal
from pathlib import Path

import torch
from omegaconf import DictConfig

from mnist_cnn.errors import ConfigError, Interrupted
from mnist_cnn.jobs import Job, run_side_by_side, start_or_continue
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
    sweep, at_once = _resumed(call) if call.value("resume") is not None else _planned(call)
    with Run(sweep.path).held():
        todo = sweep.unfinished()
        print(f"sweep: {len(sweep.jobs)} jobs, {len(todo)} to run, {at_once} at once, in {sweep.path}", flush=True)
        signal.signal(signal.SIGTERM, _stop)
        try:
            _run(sweep, todo, at_once)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                f"stopped; every complete epoch is saved. Continue with:\n"
                f"  python -m mnist_cnn.train -m resume={sweep.path}",
                stop.exit_code if isinstance(stop, Interrupted) else 130,
            ) from None
        print(summarize(sweep))
    states = [sweep.progress(job).state for job in sweep.jobs]
    return 0 if all(state == COMPLETED for state in states) else 1


def _stop(*_: object) -> None:
    raise Interrupted(exit_code=143)


def _run(sweep: Sweep, todo: list[SweepJob], at_once: int) -> None:
    jobs = [Job(start_or_continue(sweep.run(job), job.forced), sweep.log_file(job), job) for job in todo]
    with SweepDisplay(sweep, at_once) as display:
        for ended in run_side_by_side(jobs, at_once, display.tick):
            display.ended(ended.job.about, ended.error)


def _planned(call: Call) -> tuple[Sweep, int]:
    checked = call.jobs()
    bad = [f"{job.name}: {problem}" for job in checked for problem in job.problems]
    skip = call.value("bad_jobs") == "skip"
    if bad and (not skip or all(job.problems for job in checked)):
        raise ConfigError(bad)
    cfg = next(job.cfg for job in checked if not job.problems)
    given = call.value("hydra.sweep.dir")
    path = Path(str(given)).resolve() if given else new_directory(Path(cfg.run_root).resolve())
    return Sweep.create(path, _own(call), checked), jobs_at_once(cfg, len(checked))


def _resumed(call: Call) -> tuple[Sweep, int]:
    arguments = _own(call)
    resume = str(call.value("resume"))
    if resume == "auto":
        root = Path(str(call.value("run_root") or "runs")).resolve()
        sweep = newest_unfinished(root, arguments)
    else:
        sweep = Sweep.load(Path(resume).resolve())
        if arguments and sorted(arguments) != sorted(sweep.arguments):
            raise ConfigError([f"resume: a sweep continues as it was started: {' '.join(sweep.arguments)}"])
    first = next(job for job in sweep.jobs if job.problem is None)
    jobs = [f"jobs={call.value('jobs')}"] if call.value("jobs") else []
    return sweep, jobs_at_once(compose_one([*first.forced, *jobs]), len(sweep.jobs))


def _own(call: Call) -> list[str]:
    """The arguments that make the sweep what it is."""
    return [text for text in call.texts if not text.startswith(("hydra.", "resume=", "jobs="))]


def jobs_at_once(cfg: DictConfig, count: int) -> int:
    """`jobs=`; for `auto` one job per core, or several to a GPU, but no more than there are jobs."""
    if cfg.jobs != "auto":
        return min(int(cfg.jobs), count)
    cores = os.cpu_count() or 1
    on_gpu = cfg.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return max(1, min(count, cores, SHARING_A_GPU if on_gpu else cores))
