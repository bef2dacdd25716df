"""`ReduceLROnPlateau` in a run that resumes: Lightning saves it before it has seen the figures of the epoch."""

from typing import Any

import pytorch_lightning as pl
from torch.optim.lr_scheduler import ReduceLROnPlateau

KEY = "mnist_cnn_plateau"


class PlateausResume(pl.Callback):
    """Keeps in every checkpoint the figure that the schedule is about to be shown, and shows it after a resume.

    A checkpoint of an epoch is written before Lightning steps the schedule, and the resumed loop leaves the step out:
    `update_plateau_schedulers=not self.restarting` in `pytorch_lightning.loops.fit_loop`.
    """

    def __init__(self) -> None:
        self.missed: dict[int, float] = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        figures = {
            place: float(trainer.callback_metrics[str(config.monitor)])
            for place, config in enumerate(trainer.lr_scheduler_configs)
            if isinstance(config.scheduler, ReduceLROnPlateau)
            and config.interval == "epoch"
            and (trainer.current_epoch + 1) % config.frequency == 0
            and config.monitor in trainer.callback_metrics
        }
        if figures:
            checkpoint[KEY] = figures

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.missed = checkpoint.get(KEY, {})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for place, figure in self.missed.items():
            schedule: Any = trainer.lr_scheduler_configs[place].scheduler
            schedule.step(figure)
        self.missed = {}
