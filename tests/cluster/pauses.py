"""Epochs that take a while without work, so that there is time to lose a job in."""

import time

import pytorch_lightning as pl


class Pause(pl.Callback):
    """Before each epoch, so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        time.sleep(self.seconds)
