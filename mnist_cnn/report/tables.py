"""The tables and lines that a run prints and logs, as plain text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from mnist_cnn.config.python_values import command
from mnist_cnn.models.layers import LayerRow
from mnist_cnn.report.text import as_text, counted, duration, start_table, text_grid
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.history import COLUMNS, extras
from mnist_cnn.runs.record import Protocol, Record, known


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


def start_report(
    cfg: DictConfig,
    run: Run,
    record: Record,
    layers: Sequence[LayerRow],
    start: Mapping[str, str],
    trained_here: bool,
) -> str:
    """Layers and settings, before training begins.

    Args:
        start: what is said of the weights.
        trained_here: by our recipe; a LightningModule brings its own.
    """
    protocol, parameters, hardware = known(record.protocol), known(record.parameters), known(record.hardware)
    schedule = cfg.scheduler.get("_target_", "constant").rpartition(".")[2] if cfg.scheduler else "constant"
    given = cfg.optimizer.get("lr", "by default")
    rate = f"{given:.4g}" if isinstance(given, float) else given
    ours = f"{cfg.optimizer._target_.rpartition('.')[2]} lr {rate}, {schedule}"
    loss = cfg.model.get("loss")
    ours += f", loss {named(loss)}" if isinstance(loss, DictConfig) else ""
    recipe = ours if trained_here else "the module's own"
    facts = {
        "model": f"{record.model}, {parameters.total:,} parameters, {parameters.trainable:,} trainable",
        "recipe": f"{recipe}, "
        f"batch {record.batch_size or 'of the data module'}, "
        f"{counted(cfg.trainer.max_epochs, 'epoch')}, seed {cfg.seed}",
        "data": images_of(protocol),
        **({"augment": named(cfg.augment)} if cfg.augment else {}),
        "protocol": protocol.summary,
        "device": f"{hardware.device}, {counted(hardware.threads, 'thread')}, {record.precision}",
        **start,
        "run": str(run.path),
    }
    return f"{layer_table(layers)}\n\n{start_table(facts)}\n"


def named(part: DictConfig) -> str:
    """`RandomAffine (degrees 7, scale 0.07)`."""
    name = part._target_.rpartition(".")[2]
    given = [f"{key!s} {_value(value)}" for key, value in part.items() if not str(key).startswith("_")]
    return f"{name} ({', '.join(given)})" if given else name


def _value(value: Any) -> str:
    if isinstance(value, ListConfig):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, DictConfig):
        return named(value) if "_target_" in value else str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def images_of(protocol: Protocol) -> str:
    """`MNIST, 55,000 training and 5,000 validation images`."""
    second = "test images as validation" if protocol.test_images_watched else "validation images"
    counts = {"training": protocol.train_images, second: protocol.val_images}
    said = " and ".join(f"{count:,} {what}" for what, count in counts.items() if count is not None)
    said = f"{said} images" if said.endswith("training") else said
    classes = len(protocol.class_names or "0123456789")
    return f"{protocol.dataset}, {said or 'own loaders'}{f', {classes} classes' if classes != 10 else ''}" + (
        "" if protocol.verified else " (files not verified)"
    )


def _short(rate: float) -> str:
    """Two digits in at most six characters."""
    plain = f"{rate:.2g}"
    return plain if len(plain) <= 6 else f"{rate:.1e}".replace("e-0", "e-")


def epoch_line(row: dict[str, Any], max_epochs: int | None, last_rate: float | None, left: float) -> tuple[str, str]:
    """One line per epoch, with its head; 80 columns where nothing but loss and accuracy is measured;
    of the figures of each class none.

    Args:
        last_rate: the learning rate that the epoch ended with.
        left: seconds.
    """
    rates = dict.fromkeys(_short(rate) for rate in (row["lr"], last_rate) if rate is not None)
    cells = [("epoch", f"{row['epoch']}/{max_epochs}", 5), ("lr", "→".join(rates), 13)]
    for split in ("train", "val"):
        for name in ("loss", "acc", *extras(row, split)):
            if f"{split}/{name}" in row:
                cells.append((f"{split} {name}", _number(name, row[f"{split}/{name}"]), 7))
    cells += [(name, f"{value:.4f}", 7) for name, value in row.items() if "/" not in name and name not in COLUMNS]
    cells += [("time", f"{row['seconds']:.1f} s", 7), ("left", duration(left) if left else "", 6)]
    widths = [max(width, len(head)) for head, _, width in cells]
    lines = [
        [text.rjust(width) for text, width in zip(line, widths, strict=True)]
        for line in ([h for h, _, _ in cells], [t for _, t, _ in cells])
    ]
    return "  ".join(lines[0]), "  ".join(lines[1]).rstrip()


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name == "acc" else f"{value:.4f}"


def final_table(record: Record, run_dir: Path) -> str:
    """Accuracy and loss of every split, then what a reader needs to judge and find them."""
    figures, timing, protocol = record.results.model_dump(), known(record.timing), known(record.protocol)
    watched = protocol.test_images_watched
    averaged = f", averaged by {record.averaging}" if record.averaging else ""
    names = {
        "train": "train (running mean, last epoch)",
        "val": "test images, watched (last epoch)" if watched else "validation (last epoch)",
        "best": f"best epoch, {figures['best_epoch']} (chosen {'on the test images' if watched else 'by validation'})",
        "test": f"test ({record.test_weights} weights, epoch {record.test_epoch}{averaged})",
    }
    more = dict.fromkeys(name for split in names for name in extras(figures, split))
    columns = {"acc": "accuracy", "loss": "loss"} | {name: name for name in more}
    table = text_grid("", *columns.values(), right=range(1, len(columns) + 1))
    for split, words in names.items():
        values = [figures.get(f"{split}/{name}") for name in columns]
        if any(value is not None for value in values):
            numbers = zip(columns, values, strict=True)
            table.add_row(words, *("" if value is None else _number(name, value) for name, value in numbers))
    for name, value in figures.items():
        if "/" not in name and isinstance(value, float):  # as somebody's own LightningModule calls it
            table.add_row(f"{name}: {value:.4f}", *[""] * len(columns))
    kept = sorted(file.stem for file in run_dir.glob("checkpoints/*.ckpt"))
    where = {
        "protocol": protocol.summary,
        "time": f"{timing.fit_seconds:.1f} s for {counted(known(record.epochs), 'epoch')}, "
        f"{timing.images_per_second:,.0f} images/s in training",
        "run": str(run_dir),
        "files": ", ".join(sorted(file.name for file in run_dir.iterdir() if file.is_file() and file.name[0] != "."))
        + f", checkpoints/{kept[0] if len(kept) == 1 else '{' + ','.join(kept) + '}'}.ckpt",
        "again": "in this notebook or script alone, where its class is; from a file every command would find it"
        if any("=__main__." in text for text in record.command or [])
        else command("evaluate", run_dir=run_dir),
    }
    return as_text(table) + "\n" + start_table(where)
