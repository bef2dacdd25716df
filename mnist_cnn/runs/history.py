"""metrics.csv: the figures of every epoch. One reader; `files.write_table` writes it."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_cnn.errors import RunError

# lr: the rate of the epoch's first step. images: trained on. train_seconds leaves validation out.
COLUMNS = ["epoch", "lr", "train/loss", "train/acc", "val/loss", "val/acc", "images", "train_seconds", "seconds"]
WHOLE = ("epoch", "images")
Epoch = dict[str, Any]  # by column; a figure that an epoch does not have (no validation) is missing


def read_history(file: Path) -> list[Epoch]:
    """A row per complete epoch; none where the file is not there yet.

    Raises:
        RunError: not a history.
    """
    try:
        with file.open(newline="") as opened:
            rows = list(csv.DictReader(opened))
        return [{k: int(v) if k in WHOLE else float(v) for k, v in row.items() if v != ""} for row in rows]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, csv.Error, UnicodeDecodeError) as error:
        raise RunError(f"{file}: not the history of a run ({error})") from None


def column(epochs: Sequence[Epoch], name: str) -> list[float]:
    """One figure of every epoch; NaN where an epoch does not have it."""
    return [epoch.get(name, math.nan) for epoch in epochs]


def final_figures(epochs: Sequence[Epoch], monitor: str, mode: str) -> dict[str, Any]:
    """Fields of `Figures`: the last epoch's, and those of the best epoch by a column, highest or lowest (`min`)."""
    names = ("train/acc", "train/loss", "val/acc", "val/loss")
    final = {name: epochs[-1].get(name) for name in names}
    measured = [row for row in epochs if "val/acc" in row]
    if not measured:
        return {"best_epoch": None} | final
    best = (min if mode == "min" else max)(measured, key=lambda row: row[monitor])
    return final | {"best_epoch": best["epoch"], "best/acc": best["val/acc"], "best/loss": best["val/loss"]}


def timing(epochs: Sequence[Epoch]) -> dict[str, float]:
    """Fields of `Timing`, over all epochs, also those before a resume."""
    total, training = (sum(row[key] for row in epochs) for key in ("seconds", "train_seconds"))
    return {
        "fit_seconds": total,
        "train_seconds": training,
        "epoch_seconds": total / len(epochs),
        "images_per_second": sum(row["images"] for row in epochs) / training,
    }
