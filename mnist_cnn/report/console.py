"""One console for log lines and the progress bar, so that lines appear above the bar and survive in a plain log.

Log handlers belong to the whole process: they are set for the time of a call and put back.
"""

import contextlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from mnist_cnn.errors import Interrupted
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.optim import learning_rate
from mnist_cnn.runs.directory import is_first_process

BAR_EVERY = 20  # steps between two updates: metrics are computed, and the device waited for, only then
FILE_LINE = "[%(asctime)s][%(levelname)s] %(message)s"


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
        except (BrokenPipeError, SystemExit):  # rich leaves when `| head` has read enough
            raise Interrupted("", 141) from None  # without a word; `stopping` has one for a run
        except OSError:
            pass  # a terminal that has closed; the file has the line
        except Exception:
            self.handleError(record)


class LogFile(logging.FileHandler):
    """A full disk ends the lines of the file and not the run, and is said once."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self.setFormatter(logging.Formatter(FILE_LINE))

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(error := sys.exc_info()[1], OSError):
            super().handleError(record)
        else:
            logging.getLogger().removeHandler(self)
            logging.getLogger(__name__).warning(f"{self.baseFilename}: {error.strerror}; its lines end here")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class ProgressBar(RichProgressBar):
    """Lightning's rich bar with the running loss and accuracy and the learning rate, in 80 columns."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_text_delimiter="  "))
        self._rate: float | None = None

    def configure_columns(self, trainer: pl.Trainer) -> list[Any]:
        words = TextColumn("{task.description}", table_column=Column(no_wrap=True))
        return [words, BarColumn(9), MofNCompleteColumn(), TimeRemainingColumn(compact=True)]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._rate = learning_rate(trainer.optimizers)  # at the end of the step a schedule by steps has the next one's

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (batch_idx + 1) % BAR_EVERY == 0 or trainer.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        # computing would wait for the other processes, which do not draw a bar
        alone = trainer.world_size == 1
        running = pl_module.running("train") if alone and isinstance(pl_module, Classifier) else {}
        figures = {k.removeprefix("train/"): _number(k, v) for k, v in running.items()}
        if self._rate is not None:
            figures["lr"] = f"{self._rate:.2g}"
        return figures | {name: _number(name, value) for name, value in trainer.progress_bar_metrics.items()}


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name.endswith("acc") else f"{value:.4f}"


def interactive() -> bool:
    """Whether a bar or a live table can be drawn: in a terminal, or in a notebook that has widgets."""
    console = get_console()
    return console.is_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


@contextlib.contextmanager
def logging_to(log_file: Path | None = None) -> Iterator[None]:
    """Log lines go to the console, and with their time to the file.

    With several processes (DDP) the first alone speaks; the others show warnings.
    """
    root = logging.getLogger()
    handlers: list[logging.Handler] = [ConsoleHandler()]
    if log_file is not None and is_first_process():
        handlers.append(LogFile(log_file))
    before = root.level
    root.setLevel(logging.INFO if is_first_process() else logging.WARNING)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
