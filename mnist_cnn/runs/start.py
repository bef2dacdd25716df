"""Which run a call asks for: a new one and where it goes, or the one that `resume=` names."""

import os
from pathlib import Path

from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from mnist_cnn.config.call import Call, CheckedJob
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.errors import ConfigError
from mnist_cnn.runs.directory import RUN_VARIABLE, Run, dated, is_first_process
from mnist_cnn.runs.resume import Start, find_resumption


def find_start(call: Call) -> Start:
    """The single run of a call, checked.

    Raises:
        ConfigError: something is wrong with it.
        RunError: nothing to resume, or nothing left to train.
    """
    if call.value("resume") is None:
        [job] = call.check()
        return Start(_place(job), job.cfg, job.overrides)
    if call.value("resume") == "auto":
        _require_a_name("resume=<run directory>")
    return find_resumption(call)


def _place(job: CheckedJob) -> Run:
    """What `hydra.run.dir` says, else a new directory by the time, which Lightning's further processes are told."""
    if not is_first_process() and RUN_VARIABLE in os.environ:
        return Run(Path(os.environ[RUN_VARIABLE]))
    if job.composed.run_dir is not None:
        return Run(job.composed.run_dir)
    _require_a_name("hydra.run.dir=<folder>")
    return Run(dated(Path(job.cfg.run_root) / job.composed.name).resolve())


def _require_a_name(override: str) -> None:
    with quiet_libraries():  # where there is an srun, Lightning would have every command begin with it
        several = [each for each in (TorchElasticEnvironment, SLURMEnvironment) if each.detect()]
    if any(each().world_size() > 1 for each in several):
        raise ConfigError([f"torchrun and srun start all processes of a run at once: name its directory, {override}"])
