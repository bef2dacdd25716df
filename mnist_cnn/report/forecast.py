"""How long a run will take: by an earlier run like it, else by its own first steps."""

import logging
import time
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.report.text import counted, duration
from mnist_cnn.runs.environment import cpu_name
from mnist_cnn.runs.keeper import Keeper
from mnist_cnn.runs.listing import ListedRun, leaves
from mnist_cnn.runs.record import known

log = logging.getLogger(__name__)
TIMED = range(5, 20)  # steps: the first ones take longer
NEWEST = 50  # earlier runs that are looked at
# What the time of an epoch hangs on.
GROUPS = ("model.", "augment.", "speed.")
KEYS = (
    "optimizer._target_", "data.dataset", "data.batch_size", "data.limit_train", "data.validate_on",
    "data.validation_size", "data.num_workers", "trainer.accelerator", "trainer.precision",
    "trainer.limit_train_batches", "trainer.limit_val_batches",
)  # fmt: skip


def earlier_epoch(runs: Iterable[ListedRun], cfg: DictConfig, threads: int) -> float | None:
    """Seconds of an epoch in the newest completed one of some runs that did the same work on the same processor."""
    tree: Any = OmegaConf.to_container(cfg, resolve=True)
    wanted = _work(dict(leaves(tree)))
    for run in sorted(runs, key=lambda run: run.began, reverse=True)[:NEWEST]:
        if _here(run, threads) and _work(run.settings) == wanted:
            return known(known(run.saved).timing).epoch_seconds
    return None


def _here(run: ListedRun, threads: int) -> bool:
    hardware = run.saved.hardware if run.saved is not None and run.saved.completed else None
    return hardware is not None and hardware.cpu == cpu_name() and hardware.threads == threads


def _work(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key.startswith(GROUPS) or key in KEYS}


class Forecast(pl.Callback):
    """Says after some steps how long the run will take, unless it is known; the record keeps it for a sweep's table.

    Args:
        epoch_seconds: of an earlier run like it.
    """

    def __init__(self, keeper: Keeper, epoch_seconds: float | None) -> None:
        self.keeper, self.epoch_seconds = keeper, epoch_seconds
        self.began = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.epoch_seconds is not None:
            self._tell(trainer, "as an earlier run like it took")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.epoch_seconds is not None or batch_idx > TIMED.stop:
            return
        if batch_idx == TIMED.start:
            self.began = time.perf_counter()
        elif batch_idx == TIMED.stop and self.began:
            step = (time.perf_counter() - self.began) / len(TIMED)
            self.epoch_seconds = step * float(trainer.num_training_batches)
            self._tell(trainer, "by the first steps")

    def _tell(self, trainer: pl.Trainer, how: str) -> None:
        if trainer.is_global_zero:
            epochs = (trainer.max_epochs or 0) - trainer.current_epoch
            seconds = known(self.epoch_seconds)
            self.keeper.add(expected_epoch_seconds=round(seconds, 3))
            log.info(f"about {duration(seconds * epochs)} for {counted(epochs, 'epoch')}, {how}")
