"""`--multirun`: plans a sweep, runs its jobs side by side, shows them, survives their failures, sums them up."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig

from mnist_cnn.config.call import Call, CheckedJob
from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.python_values import command
from mnist_cnn.config.schema import validate
from mnist_cnn.errors import ConfigError, UserError
from mnist_cnn.report.forecast import earlier_epoch
from mnist_cnn.report.text import counted
from mnist_cnn.runs.directory import Run, dated
from mnist_cnn.runs.listing import find_runs
from mnist_cnn.signals import stopping
from mnist_cnn.speed.threads import free_cores
from mnist_cnn.sweep.cluster import require_none_there, run_on_slurm
from mnist_cnn.sweep.engine import engine_of
from mnist_cnn.sweep.jobs import GO_ON, Job, Task, refused, run_side_by_side, start_or_continue, threads_each
from mnist_cnn.sweep.launcher import launch
from mnist_cnn.sweep.on_ray import run_on_ray
from mnist_cnn.sweep.plan import Sweep, SweepJob
from mnist_cnn.sweep.progress import SweepDisplay
from mnist_cnn.sweep.resuming import own_arguments, resumed_sweep
from mnist_cnn.sweep.states import COMPLETED
from mnist_cnn.sweep.summary import write_summary

log = logging.getLogger(__name__)
SHARING_A_GPU = 4  # jobs side by side on one GPU: these nets leave most of it idle


Rehearsal = Callable[[Sequence[CheckedJob], int], None]  # of jobs, so many of which start at once


def run_sweep(call: Call, task: Task, rehearse: Rehearsal) -> int:
    """Runs a new sweep, or what is left of the one that `resume=` names; 0 if all jobs are complete, else 1.

    Args:
        rehearse: adds to the problems of the jobs what would otherwise be found hours after the start.

    Raises:
        ConfigError: something is wrong with a job, and `bad_jobs=skip` was not given.
        RunError: nothing to resume.
        Interrupted: Ctrl-C or SIGTERM; the running jobs have saved their last complete epoch.
    """
    sweep, known = sweep_of(call, rehearse)
    if sweep.elsewhere and call.has_launcher():
        launch(sweep, call, task)
        return 0
    engine, new, detach = engine_of(sweep.launcher), call.value("resume") is None, bool(call.setting("detach"))
    if engine.name == "slurm":
        run_on_slurm(sweep, task, engine.settings, new, detach)
        if detach:
            return 0
    elif engine.name == "ray":
        require_none_there(sweep)
        run_on_ray(sweep, task, engine.settings, new)
    else:
        run_here(sweep, known, call, task)
    print(write_summary(sweep))
    return int(any(sweep.progress(job).state != COMPLETED for job in sweep.jobs))


def sweep_of(call: Call, rehearse: Rehearsal) -> tuple[Sweep, dict[int, DictConfig]]:
    """A new sweep, or the one to be resumed; with the configurations that are known by now."""
    if call.value("resume") is not None:
        return resumed_sweep(call), {}
    return plan_sweep(call, None if call.has_launcher() else rehearse)


def run_here(sweep: Sweep, known: dict[int, DictConfig], call: Call, task: Task) -> None:
    """Runs what is left of a sweep side by side on this machine."""
    require_none_there(sweep)
    cfg = _first_sound(sweep, known)
    if call.value("jobs") is not None:
        cfg.jobs = call.value("jobs")
        validate(cfg)
    at_once = jobs_at_once(cfg, len(sweep.jobs))
    with Run(sweep.path).held():
        todo = sweep.unfinished()
        count = counted(len(sweep.jobs), "job")
        print(f"sweep: {count}, {len(todo)} to run, {at_once} at once, in {sweep.path}", flush=True)
        with stopping(lambda: GO_ON.format(command("train", "-m", resume=sweep.path))):
            display = SweepDisplay(sweep, at_once, expected=expected_epochs(todo, known, at_once))
            display.foretell(todo)
            jobs = _jobs(sweep, todo, known, display)
            with display.live or contextlib.nullcontext():
                for ended in run_side_by_side(jobs, task, at_once, display.tick, display.started):
                    sweep.note_error(ended.job.about, ended.error)
                    display.ended(ended.job.about, ended.error)


def _first_sound(sweep: Sweep, known: dict[int, DictConfig]) -> DictConfig:
    """The configuration of the first job that has a valid one.

    Raises:
        ConfigError: with what is wrong with all.
    """
    problems = []
    for job in (job for job in sweep.jobs if job.problem is None):
        try:
            cfg = known.get(job.number) or compose_run(job.forced).cfg
            validate(cfg)
            return cfg
        except ConfigError as error:
            problems += error.problems
    raise ConfigError(problems)


def expected_epochs(todo: Sequence[SweepJob], known: dict[int, DictConfig], at_once: int) -> dict[int, float]:
    """Seconds of an epoch by job, of those that an earlier run below the folder of all runs was like."""
    jobs = {job.number: known[job.number] for job in todo if job.number in known}
    roots = {root: find_runs(root) for root in {Path(cfg.run_root) for cfg in jobs.values()} if root.is_dir()}
    threads = threads_each(at_once)
    found = {number: earlier_epoch(roots.get(Path(cfg.run_root), ()), cfg, threads) for number, cfg in jobs.items()}
    return {number: seconds for number, seconds in found.items() if seconds is not None}


def _jobs(sweep: Sweep, todo: Sequence[SweepJob], known: dict[int, DictConfig], display: SweepDisplay) -> Iterator[Job]:
    """The jobs with their configurations; one that cannot be composed any more, or is held, has failed alone."""
    for job in todo:
        try:
            cfg = known.get(job.number) or compose_run(job.forced).cfg
            ready = start_or_continue(cfg, sweep.run(job), job.overrides, sweep.log_file(job), job)
        except UserError as error:
            text = refused(sweep.log_file(job), error)
            sweep.note_error(job, text)
            display.ended(job, text)
        else:
            sweep.forget_error(job)
            yield ready


def plan_sweep(call: Call, rehearse: Rehearsal | None = None) -> tuple[Sweep, dict[int, DictConfig]]:
    """Checks every job and writes the plan of a new sweep; with the configurations of its jobs by number.

    Raises:
        ConfigError: something is wrong with a job, and `bad_jobs=skip` was not given.
    """
    checked = call.jobs()
    sound = next((job.cfg for job in checked if not job.problems), None)
    if rehearse is not None and sound is not None and sound.rehearse:
        rehearse(checked, jobs_at_once(sound, len(checked)))
    bad = [f"{job.name}: {problem}" for job in checked for problem in job.problems]
    first = next((job for job in checked if not job.problems), checked[0])
    settings = first.cfg
    skip = settings.get("bad_jobs") == "skip"
    if bad and (not skip or all(job.problems for job in checked)):
        raise ConfigError(bad)
    engine = engine_of(call.launcher()).name
    elsewhere = engine == "hydra"
    if skip and elsewhere:
        raise ConfigError([f"bad_jobs=skip: does not go with {call.launcher()[0]}"])
    if settings.get("detach") and engine != "slurm":
        raise ConfigError(["detach=true: only SLURM goes on alone (hydra/launcher=slurm)"])
    root, asked = Path(settings.run_root).resolve(), first.composed.sweep_dir
    missing = [folder for folder in ((asked or root), *(asked or root).parents) if not folder.exists()]
    path = asked or _new_directory(root)
    sweep = Sweep.create(
        path, own_arguments(call), checked, elsewhere, call.launcher() if engine in ("slurm", "ray") else ()
    )
    sweep.made = missing if asked else [path, path.parent, *missing]
    return sweep, {job.number: job.cfg for job in checked}


def _new_directory(root: Path) -> Path:
    """Creates `root`/multirun/<time>, which no other sweep has or gets."""
    while True:
        path = dated(root / "multirun")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue


def jobs_at_once(cfg: DictConfig, count: int, jobs: str | int | None = None) -> int:
    """`jobs`, or that of the configuration; for `auto` one job per core, or several to a GPU; at most `count`."""
    jobs = jobs or cfg.jobs
    if jobs != "auto":
        return min(int(jobs), count)
    on_gpu = cfg.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return max(1, min(count, free_cores(), SHARING_A_GPU if on_gpu else count))
