"""All loggers of a training: told of a run that was stopped and resumed as of one, and shown its pictures."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
from omegaconf import DictConfig
from PIL import Image
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from mnist_cnn.config.instantiate import named
from mnist_cnn.config.recipe import offered
from mnist_cnn.errors import RunError
from mnist_cnn.files import MIB, read_text, write_atomically
from mnist_cnn.runs.directory import Run, is_first_process
from mnist_cnn.training.tracker import Nobody, Tracker

# Where the user has set none. MLflow's own are 7 and 120 s: a server that is gone would hold up a training for minutes.
# W&B keeps 15 s of an offline run in memory, which kill -9 would take along.
WAITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
}  # fmt: skip
MOST = MIB  # of trackers.json
LONGEST = 250  # characters of a setting that Lightning tells MLflow


class Trackers:
    """All loggers of a training.

    Args:
        run: keeps in trackers.json what they call it, and how many epochs each was told of.
        going_on: from a checkpoint: a server that is gone by now ends nothing.
    """

    def __init__(self, run: Run, group: DictConfig, going_on: bool) -> None:
        for name, value in WAITS.items() if group else ():
            os.environ.setdefault(name, value)
        self.file = run.trackers_file
        self.known: dict[str, dict[str, Any]] = _read(self.file)
        self.all = [self._built(str(name), node, run, going_on) for name, node in group.items() if node is not None]

    @property
    def loggers(self) -> list[Logger]:
        return [tracker.logger for tracker in self.all]

    def _built(self, name: str, node: DictConfig, run: Run, going_on: bool) -> Tracker:
        key, known = f"logger.{name}", self.known.setdefault(name, {})
        before, kind = known.get("id"), resolve_name(node["_target_"])
        logger = offered(node, key, save_dir=str(run.path), **_identity(kind, run, before))
        tracker = Tracker(name, logger, known.get("epochs", 0), lambda epochs: self._note(name, epochs=epochs))
        if going_on:
            tracker.spared(lambda: logger.experiment)()
            if tracker.gone:
                tracker.logger = Nobody()
        else:
            with named(key, node):
                _ = logger.experiment  # made by its first use, from what the configuration gives
        if isinstance(tracker.logger, MLFlowLogger | WandbLogger):
            self._note(name, id=logger.version)
        if isinstance(tracker.logger, MLFlowLogger) and is_first_process() and before:
            tracker.spared(_take_up)(tracker, logger)
        return tracker

    def _note(self, name: str, **facts: Any) -> None:
        if is_first_process():
            self.known[name] |= facts
            write_atomically(self.file, (json.dumps(self.known, indent=1) + "\n").encode())

    def show(self, pictures: Sequence[Path], step: int) -> None:
        for tracker in self.all:
            tracker.spared(_show)(tracker.logger, pictures, step)
            tracker.logger.finalize("success")

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """W&B knows one run for each process at a time: the next one would be taken for this."""
        for tracker in self.all:
            if isinstance(tracker.logger, WandbLogger) and is_first_process():
                tracker.spared(tracker.logger.experiment.finish)(exit_code=int(error is not None))


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(read_text(file, RunError, MOST)) if file.exists() else {}
        if all(isinstance(each, dict) for each in found.values()):
            return found
    except (ValueError, AttributeError):
        pass
    raise RunError(f"{file}: not what trackers know of a run; without it they are told of a new one")


def _identity(kind: type, run: Run, known: str | None) -> dict[str, Any]:
    """MLflow would make up names from the run's seed: the same one for all runs of a seed."""
    name = "/".join(run.path.parts[-2:] if run.path.name.isdigit() else run.path.parts[-1:])  # of a sweep: its job
    if issubclass(kind, MLFlowLogger):
        return {"run_name": name, "run_id": known}
    return {"name": name, "id": known} if issubclass(kind, WandbLogger) else {}


def _take_up(tracker: Tracker, logger: MLFlowLogger) -> None:
    """Its run goes on. A setting that MLflow has stays as it is there: what is new becomes a tag."""
    client, name = logger.experiment, logger.run_id
    client.update_run(name, status="RUNNING")
    known, tell = client.get_run(name).data.params, logger.log_hyperparams

    def tell_new(params: Any) -> None:
        settings = params if isinstance(params, dict) else vars(params)
        for key, value in settings.items():
            if key in known and known[key] != str(value)[:LONGEST]:
                client.set_tag(name, f"resumed/{key}", str(value))
        tell({key: value for key, value in settings.items() if key not in known})

    logger.log_hyperparams = tracker.spared(tell_new)  # type: ignore[method-assign]


def _show(logger: Logger, pictures: Sequence[Path], step: int) -> None:
    for picture in pictures:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(picture.stem, np.asarray(Image.open(picture)), step, dataformats="HWC")
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_artifact(logger.run_id, str(picture))
        elif isinstance(logger, WandbLogger):
            logger.log_image(picture.stem, [str(picture)], step)
