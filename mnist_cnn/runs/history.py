"""metrics.csv: the figures of every epoch. One reader; `files.write_table` writes it."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mnist_cnn.errors import RunError
from mnist_cnn.files import MIB, read_text

# lr: the rate of the epoch's first step. images: trained on. train_seconds leaves validation out.
COLUMNS = ["epoch", "lr", "train/loss", "train/acc", "val/loss", "val/acc", "images", "train_seconds", "seconds"]
MEASURED = ("train/acc", "train/loss", "val/acc", "val/loss")
WHOLE = ("epoch", "images")
MOST = 64 * MIB
RESOLUTION = 0.01  # seconds: shorter epochs say nothing of speed
Epoch = dict[str, Any]  # by column; a figure that an epoch does not have (no validation) is missing


def columns_of(epochs: Sequence[Epoch]) -> list[str]:
    """What every run has, then whatever else was measured in some epoch."""
    return list(dict.fromkeys([*COLUMNS, *(name for row in epochs for name in row)]))


def read_history(file: Path) -> list[Epoch]:
    """A row per complete epoch; none where the file is not there yet.

    Raises:
        RunError: not a history.
    """
    if not file.exists():
        return []
    rows = csv.DictReader(io.StringIO(read_text(file, RunError, MOST), newline=""))
    if rows.fieldnames is not None and "epoch" not in rows.fieldnames:
        raise RunError(f"{file}: not the history of a run (no column epoch); resume= writes it anew")
    try:
        return [{k: int(v) if k in WHOLE else float(v) for k, v in row.items() if v != ""} for row in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise RunError(f"{file}: not the history of a run ({error}); resume= writes it anew") from None


def column(epochs: Sequence[Epoch], name: str) -> list[float]:
    """One figure of every epoch; NaN where an epoch does not have it."""
    return [epoch.get(name, math.nan) for epoch in epochs]


def final_figures(epochs: Sequence[Epoch], monitor: str | None, mode: str | None) -> dict[str, Any]:
    """Fields of `Figures`: the last epoch's, and those of the best epoch by a column, highest or lowest (`min`)."""
    others = [name for name in dict.fromkeys(name for row in epochs for name in row) if name not in COLUMNS]
    final = {name: epochs[-1].get(name) for name in (*MEASURED, *others)}
    measured = [row for row in epochs if monitor in row and ("val/acc" in row or not str(monitor).startswith("train/"))]
    if not measured or monitor is None:
        return {"best_epoch": None} | final
    best = (min if mode == "min" else max)(measured, key=lambda row: row[monitor])
    names = [name for name in ("val/acc", "val/loss", *others) if name in best and not name.startswith("train")]
    return final | {"best_epoch": best["epoch"]} | {f"best/{name.removeprefix('val/')}": best[name] for name in names}


def extras(names: Iterable[str], split: str) -> list[str]:
    """What a split has beside accuracy and loss, without the numbers of vectors: `f1` of `val/f1`."""
    own = [name.removeprefix(f"{split}/") for name in names if name.startswith(f"{split}/")]
    return [name for name in own if name not in ("acc", "loss") and not re.search(r"_\d+$", name)]


def timing(epochs: Sequence[Epoch]) -> dict[str, float]:
    """Fields of `Timing`, over all epochs, also those before a resume."""
    total, training = (sum(row[key] for row in epochs) for key in ("seconds", "train_seconds"))
    return {
        "fit_seconds": total,
        "train_seconds": training,
        "epoch_seconds": total / len(epochs),
        "images_per_second": sum(row["images"] for row in epochs) / max(training, RESOLUTION),
    }
