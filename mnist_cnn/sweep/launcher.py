"""A sweep by a launcher of Hydra's that the package does not run itself, which returns when all jobs have ended."""

import functools
import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mnist_cnn.config import compose
from mnist_cnn.config.build import with_defaults
from mnist_cnn.config.call import Call
from mnist_cnn.config.schema import validate
from mnist_cnn.errors import UserError
from mnist_cnn.runs.directory import Run
from mnist_cnn.sweep.jobs import Task
from mnist_cnn.sweep.plan import Sweep
from mnist_cnn.sweep.summary import write_summary

log = logging.getLogger(__name__)


def launch(sweep: Sweep, call: Call, task: Task) -> None:
    """Runs a new sweep by the Hydra launcher that the call names, and sums it up, however it ends.

    Raises:
        UserError: a job's own; or the launcher's, which leaves nothing where no job has begun.
    """
    overrides = [call.forced(o) for o in call.overrides if o.key_or_group != "hydra.sweep.dir"]
    try:
        to_launch = [*overrides, *call.searchpath(), f"hydra.sweep.dir='{sweep.path}'"]
        returned = compose.launch(to_launch, functools.partial(_on_cluster, task))
        errors = [error for error in returned if error is not None]
    except BaseException as error:
        if not (isinstance(error, UserError) and sweep.withdraw()):
            print(write_summary(sweep))
        raise
    print(write_summary(sweep))
    if errors:
        raise errors[0]


def _on_cluster(task: Task, cfg: DictConfig) -> UserError | None:
    """What a Hydra launcher calls for each job, perhaps on another machine: it must be picklable.

    Returns:
        the user's mistake, which Hydra would show in a form of its own if it were raised.
    """
    settings = HydraConfig.get()
    cfg = with_defaults(cfg)
    try:
        validate(cfg)
        searchpath = [text for text in settings.overrides.hydra if text.startswith("hydra.searchpath=")]
        task(cfg, Run(Path(settings.runtime.output_dir)), [*settings.overrides.task, *searchpath], None)
    except UserError as error:
        log.error(str(error))  # at once, not when the whole sweep has ended
        return error
    return None
