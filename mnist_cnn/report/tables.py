"""The tables and lines that a run prints and logs, as plain text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mnist_cnn.models.layers import LayerRow
from mnist_cnn.report.text import as_text, start_table, text_grid
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.record import Record, known


def layer_table(rows: Sequence[LayerRow]) -> str:
    """Layers with output shape (height, width, channels) and parameters, as Keras prints a model."""
    table = text_grid("layer", "output shape", "parameters", right=(2,))
    for row in rows:
        shape = (*row.output_shape[1:], *row.output_shape[:1])
        table.add_row(f"{row.name} ({row.kind})", " × ".join(str(n) for n in shape), f"{row.parameters:,}")
    total, trainable = count(rows)
    table.add_section()
    table.add_row("total", "", f"{total:,}")
    table.add_row("trainable", "", f"{trainable:,}")
    return as_text(table)


def count(rows: Sequence[LayerRow]) -> tuple[int, int]:
    """Total (as Keras counts: moving averages included) and trainable parameters."""
    return sum(r.parameters for r in rows), sum(r.trainable for r in rows)


def start_report(cfg: DictConfig, run: Run, record: Record, layers: Sequence[LayerRow], checkpoint: Path | None) -> str:
    """Layers and settings, before training begins."""
    protocol, parameters, hardware = known(record.protocol), known(record.parameters), known(record.hardware)
    schedule = cfg.scheduler.get("_target_", "constant").rpartition(".")[2] if cfg.scheduler else "constant"
    rate = cfg.optimizer.get("lr", "by default")
    facts = {
        "model": f"{record.model}, {parameters.total:,} parameters, {parameters.trainable:,} trainable",
        "recipe": f"{cfg.optimizer._target_.rpartition('.')[2]} lr {rate}, {schedule}, batch {cfg.data.batch_size}, "
        f"{cfg.trainer.max_epochs} epochs, seed {cfg.seed}",
        "data": f"{protocol.dataset}, {protocol.train_images:,} training and {protocol.val_images:,} "
        f"{'test images as validation' if protocol.test_images_watched else 'validation images'}"
        + ("" if protocol.verified else " (files not verified)"),
        "protocol": protocol.summary,
        "device": f"{hardware.device}, {hardware.threads} threads, {record.precision}",
        "run": str(run.path),
    } | ({"resumed": str(checkpoint)} if checkpoint is not None else {})
    return f"{layer_table(layers)}\n\n{start_table(facts)}\n"


def epoch_line(row: dict[str, Any], max_epochs: int | None) -> str:
    """One line per epoch, all that the progress bar showed."""
    width = len(str(max_epochs))
    parts = [f"epoch {row['epoch']:>{width}}/{max_epochs}", f"lr {row['lr']:.6f}"]
    for split in ("train", "val"):
        if f"{split}/loss" in row:
            parts.append(f"{split} loss {row[f'{split}/loss']:.4f} acc {row[f'{split}/acc']:.2%}")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])


def final_table(record: Record, run_dir: Path) -> str:
    """Accuracy and loss of every split, then what a reader needs to judge and find them."""
    figures, timing, protocol = record.results, known(record.timing), known(record.protocol)
    watched = protocol.test_images_watched
    names = {
        "train": "train (running mean, last epoch)",
        "val": "test images, watched (last epoch)" if watched else "validation (last epoch)",
        "best": f"best epoch, {figures.best_epoch} (chosen {'on the test images' if watched else 'by validation'})",
        "test": f"test ({record.test_weights} weights, epoch {record.test_epoch})",
    }
    table = text_grid("", "accuracy", "loss", right=(1, 2))
    for key, name in names.items():
        if figures[f"{key}/acc"] is not None:
            table.add_row(name, f"{figures[f'{key}/acc']:.2%}", f"{figures[f'{key}/loss']:.4f}")
    where = {
        "protocol": protocol.summary,
        "time": f"{timing.fit_seconds:.1f} s for {record.epochs} epoch{'s' * (record.epochs != 1)}, "
        f"{timing.images_per_second:,.0f} images/s in training",
        "run": str(run_dir),
        "files": ", ".join(sorted(file.name for file in run_dir.iterdir() if file.is_file() and file.name[0] != "."))
        + ", checkpoints/{best,last}.ckpt",
        "again": f"python -m mnist_cnn.evaluate run_dir={run_dir}",
    }
    return as_text(table) + "\n" + start_table(where)
