"""Averages of the weights that Lightning's own weigh otherwise, or come too late for."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from mnist_cnn.values import Count, NotNegativeInt, Share


class ExponentialMovingAverage(WeightAveraging):
    """Validation, test and checkpoints use an exponential moving average of the weights, which forgets the first ones.

    After n updates it decays by (1 + n) / (10 + n), by `decay` at most: a decay of 0.999 from the first step on keeps
    half of the untrained weights after 700 steps, and with batch norm such a net answers by chance. The warm-up is that
    of TensorFlow's `ExponentialMovingAverage`.

    Args:
        update_starting_at_step: the first that counts, from 0; before it the weights are used as they are.
    """

    def __init__(
        self, decay: Share, update_every_n_steps: Count, update_starting_at_step: NotNegativeInt | None
    ) -> None:
        super().__init__(multi_avg_fn=self._average)
        self.decay = decay
        self.every = update_every_n_steps
        self.uncounted = -(-(update_starting_at_step or 0) // update_every_n_steps)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx % self.every == 0

    def _average(self, averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        """Changes the averages in place."""
        n = (torch.as_tensor(updates) - self.uncounted).clamp(min=-1)
        decay = ((1 + n) / (10 + n)).clamp(max=self.decay)  # a tensor: nothing waits for a GPU
        if averaged[0].is_floating_point():
            torch._foreach_mul_(averaged, decay)
            torch._foreach_add_(averaged, torch._foreach_mul(current, 1 - decay))
        else:  # counts of steps
            for old, new in zip(averaged, current, strict=True):
                old.copy_(decay * old + (1 - decay) * new)


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

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An epoch that a timer ends before its last batch counts before it is validated."""
        if trainer.should_stop and not trainer.sanity_checking:
            self._count(trainer, pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """So does one that `max_steps` ends, without a validation."""
        self._count(trainer, pl_module)

    def _count(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Once for a step."""
        super().on_train_batch_end(trainer, pl_module, None, None, -1)
