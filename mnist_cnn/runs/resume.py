"""`resume=`: which run to continue, with which configuration, from which checkpoint."""

import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config.call import Call
from mnist_cnn.config.compose import line
from mnist_cnn.config.python_values import setting
from mnist_cnn.config.recipe import build_schedule
from mnist_cnn.config.schema import find_problems
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.optim import spans_run
from mnist_cnn.runs.checkpoint import find_checkpoint, load_to_resume, require_same_settings
from mnist_cnn.runs.directory import RUN_VARIABLE, Run, is_first_process, unfinished
from mnist_cnn.runs.layout import PLAN
from mnist_cnn.runs.settings import MAY_CHANGE


@dataclass(frozen=True)
class Start:
    """What a training needs: its directory, its configuration, and the checkpoint that it goes on from, if any.

    Args:
        cfg: validated.
        overrides: what was asked for, for the record.
    """

    run: Run
    cfg: DictConfig
    overrides: list[str]
    checkpoint: Path | None = None


def find_resumption(call: Call) -> Start:
    """The run that `resume=` names, its saved configuration with the call's new values, and the newest good checkpoint.

    A run without a complete epoch has none and begins anew, in the same directory.

    `auto` is the newest unfinished run below `run_root`; with other overrides, the newest started with just these.

    Raises:
        RunError: nothing to resume, or nothing left to train.
        ConfigError: overrides that a run cannot change any more.
    """
    resume = str(call.value("resume"))
    overrides = [o for o in call.overrides if o.key_or_group not in ("resume", "hydra.searchpath")]
    if resume == "auto" and not is_first_process():
        resume, overrides = os.environ[RUN_VARIABLE], []
    found: tuple[Path, dict[str, Any]] | None
    if resume == "auto":
        run, overrides = _newest_unfinished(call, overrides), []
        found = find_checkpoint(run)
    elif (Path(resume) / PLAN).is_file():
        raise RunError(f"{resume}: a sweep; continue it with -m {setting('resume', resume)}")
    elif Path(resume).is_dir():
        run = Run(Path(resume).resolve())
        run.config()  # refuses a folder that is no run before looking for checkpoints
        found = find_checkpoint(run)
    else:
        path = Path(resume).resolve()
        run, found = Run(path.parent.parent), (path, load_to_resume(path))
        require_same_settings(run, *found)
    before = run.config()
    cfg = _with_new_values(run, overrides)
    _require_work_left(run, before, cfg, done=found[1]["epoch"] + 1 if found else 0)
    asked = {text.partition("=")[0]: text for text in [*run.overrides(), *(line(o).lstrip("+") for o in overrides)]}
    return Start(run, cfg, list(asked.values()), found[0] if found else None)


def _newest_unfinished(call: Call, overrides: list[Override]) -> Run:
    root = Path(str(call.setting("run_root"))).resolve()
    runs = unfinished(root)
    # Not where it went: the run is looked for. Not --config-dir: the run has its values.
    wanted = sorted(text for o in overrides if not (text := line(o).lstrip("+")).startswith("hydra."))
    for run in runs:
        asked = sorted(text for text in run.overrides() if not text.startswith("hydra."))
        if asked == wanted or all(text.startswith("run_root=") for text in wanted):
            return run
    if runs:
        raise RunError(
            f"no unfinished run below {root} was started with {' '.join(wanted)}; the newest unfinished one is "
            f"{runs[0].path}: {setting('resume', runs[0].path)} continues it"
        )
    raise RunError(f"nothing to resume below {root}: every run there is finished or being trained")


def _with_new_values(run: Run, overrides: list[Override]) -> DictConfig:
    cfg, saved, problems = run.config(), run.overrides(), []
    for override in overrides:
        if line(override).lstrip("+") in saved:
            continue
        if override.is_delete() or not any(fnmatch(override.key_or_group, key) for key in MAY_CHANGE):
            problems.append(f"{line(override)}: a resumed run can change only {', '.join(MAY_CHANGE)}")
        else:
            OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=True)
    problems += find_problems(cfg)
    if problems:
        raise ConfigError(problems)
    return cfg


def _require_work_left(run: Run, before: DictConfig, cfg: DictConfig, done: int) -> None:
    wanted, planned = cfg.trainer.max_epochs, before.trainer.max_epochs
    schedule = build_schedule(cfg.scheduler)
    spans = schedule is not None and spans_run(schedule.factory)
    if done and wanted != planned and spans:
        raise RunError(
            f"{run.path}: its schedule spans {planned} epochs, so trainer.max_epochs cannot become {wanted}; "
            f"a run of {wanted} epochs must begin anew"
        )
    if done > wanted or (run.completed and wanted <= planned):  # it may also have stopped early
        longer = "raise trainer.max_epochs to train longer"
        if spans:
            longer = "its schedule ends there; to train longer begin a new run with a higher trainer.max_epochs"
        raise RunError(f"{run.path}: already finished, {done} of {wanted} epochs; {longer}")
