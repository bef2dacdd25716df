"""The mean of the weights of the last epochs, which Lightning's own averages come too late for or weigh otherwise."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from mnist_cnn.values import NotNegativeInt


class EpochAveraging(WeightAveraging):
    """Validation, test and checkpoints use the plain mean of the weights at the ends of epochs, from one epoch on.

    Before that they use the weights as they are. Moving averages of batch norm are averaged too, not measured anew.
    Izmailov et al., Averaging Weights Leads to Wider Optima, 2018; with a constant or cyclic rate in those epochs.

    Args:
        from_epoch: the first that counts, from 0.
    """

    def __init__(self, from_epoch: NotNegativeInt) -> None:
        super().__init__(avg_fn=self._mean)
        self.from_epoch = from_epoch

    def _mean(self, averaged: Tensor, current: Tensor, epochs: Tensor | int) -> Tensor:
        counted = int(epochs) - self.from_epoch  # already in the mean
        return averaged + (current - averaged) / (counted + 1) if counted > 0 else current

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
