"""What every run has whatever its configuration: reproducible epochs, a history, checkpoints that are never half."""

import io
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.files import write_atomically, write_table
from mnist_cnn.models.reading import Scale
from mnist_cnn.optim import learning_rate
from mnist_cnn.report.tables import epoch_line
from mnist_cnn.runs.checkpoint import OWN, parts_of
from mnist_cnn.runs.history import Epoch, columns_of

log = logging.getLogger(__name__)


class SeedEpochs(pl.Callback):
    """Seeds each epoch from (seed, epoch, process), so that an epoch does not depend on what ran before it.

    A resumed run therefore draws the same dropout masks and augmentations as the uninterrupted one.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        words = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank]).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))


class History(Checkpoint):
    """One row per complete epoch: a log line, `metrics.csv`, and a place in the checkpoint, so resuming keeps it.

    All that the module logged is in the row. For Lightning it is a `Checkpoint`, as only these come after the module's
    own end of an epoch, where figures are logged; and it comes before those that save.

    `start_seconds`: from the start of this process to the end of its first step; None where the system does not tell.

    Args:
        began: by the monotonic clock, when a process that had done other things before began with this run.
        monitors: figures that callbacks follow; a name that nobody logs ends the first epoch.
        first_step: called after it.
    """

    def __init__(
        self,
        file: Path,
        began: float | None = None,
        monitors: Mapping[str, str] | None = None,
        first_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.file, self.began, self.monitors, self.first_step = file, began, monitors or {}, first_step
        self.rows: list[Epoch] = []
        self.start_seconds: float | None = None
        self._images = 0
        self._before: set[str] = set()
        self._of_validation: set[str] = set()
        self._head = ""  # of the lines that this process has printed

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Before the data module makes its loaders."""
        rows = checkpoint["callbacks"][self.state_key]["rows"]
        trainer.datamodule.first_epoch = len(rows)  # type: ignore[attr-defined]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = self._trained = time.perf_counter()
        self._images = 0
        self._validated = False
        self._lr = learning_rate(trainer.optimizers)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:  # at its end a schedule by steps has the next one's rate
        self._last_lr = learning_rate(trainer.optimizers)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch[1])
        if self.start_seconds is None:
            self.start_seconds = _process_age() if self.began is None else time.monotonic() - self.began
            self.first_step()
        if trainer.is_last_batch and trainer.strategy.root_device.type == "cuda":  # which may be steps behind
            torch.cuda.synchronize()
        self._trained = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = not trainer.sanity_checking
        self._of_validation |= set(trainer.callback_metrics) - self._before

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A monitor that looks like validation's must be there after its rehearsal; else a whole epoch is lost."""
        self._require({path: name for path, name in self.monitors.items() if name.startswith("val")}, trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._images:  # Lightning ends an epoch once more when it resumes after it
            return
        left_over = set() if self._validated else self._of_validation
        logged = {name: value for name, value in trainer.callback_metrics.items() if name not in left_over}
        if self._validated:
            self._require(self.monitors, trainer)
        row = {
            "epoch": trainer.current_epoch + 1,
            "lr": self._lr,
            **_figures(logged),
            "images": self._images,
            "train_seconds": self._trained - self._began,
            "seconds": time.perf_counter() - self._began,
        }
        self.rows.append(row)
        self._images = 0
        if trainer.is_global_zero:
            head, line = epoch_line(row, trainer.max_epochs, self._last_lr, self._left(trainer))
            if head != self._head:
                log.info(head)
            log.info(line)
            self._head = head
            write_table(self.file, columns_of(self.rows), self.rows)

    def _require(self, monitors: Mapping[str, str], trainer: pl.Trainer) -> None:
        logged = sorted(trainer.callback_metrics)
        missing = [
            f"{p}.monitor = {n!r}: nobody logs it{nearest(n, logged)}" for p, n in monitors.items() if n not in logged
        ]
        if missing:
            raise ConfigError(missing)

    def _left(self, trainer: pl.Trainer) -> float:
        """Seconds of the epochs to come, if they are as the last ones."""
        recent = [row["seconds"] for row in self.rows[-3:]]
        return ((trainer.max_epochs or 0) - len(self.rows)) * sum(recent) / len(recent)


def _figures(logged: Mapping[str, Any]) -> dict[str, float]:
    """Without the rates of a LearningRateMonitor, and without the parts of what was logged by step and by epoch."""
    parts = [f"{name}_{when}" for name in logged for when in ("step", "epoch")]
    return {n: float(value) for n, value in logged.items() if n not in parts and not n.startswith("lr-")}


def _process_age() -> float | None:
    """Seconds, as Linux counts them."""
    try:
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(after_name[19]) / os.sysconf("SC_CLK_TCK")


class BestCheckpoint(ModelCheckpoint):
    """best.ckpt: the epoch with the best value of `monitor`; a run directory that was moved keeps its best."""

    def __init__(self, dirpath: str, monitor: str, mode: Literal["min", "max"]) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Points the saved paths to the present directory: Lightning forgets the best score when they differ."""
        here, there = str(self.dirpath), str(state_dict["dirpath"])

        def moved(value: Any) -> Any:
            return value.replace(there, here, 1) if isinstance(value, str) and value.startswith(there) else value

        state = {key: moved(value) for key, value in state_dict.items()}
        state["best_k_models"] = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state)


def every_epoch(run_dir: Path) -> ModelCheckpoint:
    """last.ckpt after every epoch; ModelCheckpoint's own `save_last` skips the epochs that are not the best so far."""
    return ModelCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="last",
        monitor=None,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


class SelfContained(pl.Callback):
    """Writes into every checkpoint what it takes to use it alone: the node of the net, the scale of its images and the
    names of their classes; and what it takes to go on from it: the settings, and the names of all its parts.

    What a LightningModule keeps of its arguments beside plain values is left out: a checkpoint must load without code.
    """

    def __init__(self, model: dict[str, Any], scale: Scale, settings: dict[str, Any], classes: list[str]) -> None:
        self.content = {"model": model, "scale": vars(scale), "settings": settings, "class_names": classes}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[OWN] = self.content
        kept = checkpoint.get(pl_module.CHECKPOINT_HYPER_PARAMS_KEY)
        if kept:
            plain = {name: value for name, value in kept.items() if _is_plain(value)}
            checkpoint[pl_module.CHECKPOINT_HYPER_PARAMS_KEY] = plain


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return value is None or isinstance(value, bool | int | float | str | torch.Tensor)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, to the disk, and renames: a kill in mid-write leaves the previous checkpoint.

    Lightning's own way goes through a temporary folder that may lie on another file system, where a move is a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if OWN in checkpoint:
            checkpoint[OWN] = checkpoint[OWN] | {"parts": parts_of(checkpoint)}
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with buffer.getbuffer() as content:
            write_atomically(Path(path), content)
