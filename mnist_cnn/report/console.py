"""One console for log lines and the progress bar, so that lines appear above the bar and survive in a plain log."""

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.utilities import rank_zero_only
from rich import get_console

from mnist_cnn.models.classifier import Classifier

BAR_EVERY = 20  # steps between two updates: metrics are computed, and the device waited for, only then


class ConsoleHandler(logging.Handler):
    """Prints records as they are; a warning or an error says so."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "file_only", False):
            return
        try:
            text = self.format(record)
            if record.levelno >= logging.WARNING:
                text = f"{record.levelname.lower()}: {text}"
            get_console().print(text, markup=False, highlight=False, soft_wrap=True)
        except Exception:
            self.handleError(record)


class ProgressBar(RichProgressBar):
    """Lightning's rich bar with the running loss and accuracy and the learning rate."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (batch_idx + 1) % BAR_EVERY == 0 or trainer.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        assert isinstance(pl_module, Classifier)
        # computing would wait for the other processes, which do not draw a bar
        running = pl_module.running("train") if trainer.world_size == 1 else {}
        figures = {k.removeprefix("train/"): f"{v:.4f}" for k, v in running.items()}
        return figures | {"lr": f"{trainer.optimizers[0].param_groups[0]['lr']:.6f}"}


def interactive() -> bool:
    return get_console().is_terminal


def let_one_process_speak() -> None:
    """With several processes (DDP), the others log warnings alone; call it after Hydra has set up logging."""
    if getattr(rank_zero_only, "rank", 0) != 0:
        logging.getLogger().setLevel(logging.WARNING)


def quieten_libraries() -> None:
    """Keeps Lightning's notes about defaults out of the way; its real warnings go to the log."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        library.handlers.clear()
        library.propagate = True
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)  # debug=profiler prints its table here
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", DeprecationWarning)
