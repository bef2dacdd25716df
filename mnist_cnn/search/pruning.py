"""Stops a trial of a search early; the one place of training that knows Optuna."""

import logging
from typing import Any, Literal

import pytorch_lightning as pl

from mnist_cnn.errors import Pruned, in_one_line

log = logging.getLogger(__name__)


class PruneTrial(pl.Callback):
    """Reports a figure of every epoch to an Optuna study, and stops the run where the study says so.

    Args:
        storage: URL of the study's storage, as `storage.open_storage` opens it.
        study: its name.
        trial_id: the database's own number of the trial.
        startup_trials: complete trials before any is stopped.
        pruner: `median` stops what is below the median of the others after as many epochs, `halving` all but the best
            third after 1, 3, 9, ... epochs (asynchronous successive halving: Li et al., 2020).
        monitor, mode: the figure, as the record of a run has them (`Record.rank`).
    """

    def __init__(
        self,
        storage: str,
        study: str,
        trial_id: int,
        startup_trials: int,
        monitor: str = "val/acc",
        mode: Literal["min", "max"] = "max",
        pruner: Literal["median", "halving"] = "median",
    ) -> None:
        import optuna

        from mnist_cnn.search.storage import LOST, open_storage

        self.monitor, self.mode, self.lost, self.warned = monitor, mode, LOST, False
        median = optuna.pruners.MedianPruner(n_startup_trials=startup_trials)
        halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        chosen = median if pruner == "median" else halving
        loaded = optuna.load_study(study_name=study, storage=open_storage(storage), pruner=chosen)
        self.trial = optuna.trial.Trial(loaded, trial_id)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        figure = trainer.callback_metrics.get(self.monitor)
        if figure is None:
            return
        epoch = trainer.current_epoch + 1
        if self._is_hopeless(float(figure) * (-1 if self.mode == "min" else 1), epoch, trainer.max_epochs or 0):
            named = {"val/acc": f"validation accuracy {float(figure):.2%}"}
            shown = named.get(self.monitor, f"{self.monitor} {float(figure):.4f}")
            raise Pruned(f"pruned: {shown} in epoch {epoch} is not among the best so far")

    def _is_hopeless(self, value: float, epoch: int, epochs: int) -> bool:
        """As the study says; a storage that is away costs a warning, not the run."""
        try:
            self.trial.report(value, epoch)
            return epoch < epochs and self.trial.should_prune()
        except self.lost as error:
            if not self.warned:
                log.warning(f"the trials of the search cannot be reached, no pruning meanwhile: {in_one_line(error)}")
            self.warned = True
            return False
