"""Stops a trial of a search early; the one place of training that knows Optuna."""

from typing import Any

import pytorch_lightning as pl

from mnist_cnn.errors import Pruned


class PruneTrial(pl.Callback):
    """Reports the validation accuracy of every epoch to an Optuna study, and stops the run where the study says so.

    Args:
        storage: URL of the study's database.
        study: its name.
        trial_id: the database's own number of the trial.
        startup_trials: complete trials before any is stopped.
    """

    def __init__(self, storage: str, study: str, trial_id: int, startup_trials: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=startup_trials)
        loaded = optuna.load_study(study_name=study, storage=storage, pruner=pruner)
        self.trial = optuna.trial.Trial(loaded, trial_id)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        accuracy = trainer.callback_metrics.get("val/acc")
        if accuracy is None:
            return
        epoch = trainer.current_epoch + 1
        self.trial.report(float(accuracy), epoch)
        if epoch < (trainer.max_epochs or 0) and self.trial.should_prune():
            raise Pruned(f"pruned: validation accuracy {float(accuracy):.2%} in epoch {epoch} is below the median")
