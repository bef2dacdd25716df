"""Keeps which test images records get wrong: each run alone, by several views of each image, and ensembles."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mnist_cnn.config.build import build_data
from mnist_cnn.data.images import ImageSet
from mnist_cnn.files import write_table
from mnist_cnn.records.entries import RecordEntry, records
from mnist_cnn.report.calibration import prediction_rows
from mnist_cnn.report.further import mean_of_views, together
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import StudyRun
from mnist_cnn.runs.answers import COLUMNS, ENSEMBLES, MISSED, SHIFTED, read_answers
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.trained import load_net


def keep_answers(runs: Iterable[StudyRun], results: Results, run_root: Path) -> None:
    """Of records whose run directories are still there; see `runs/answers.py`."""
    held = {run: Run(run_root / run.path) for run in runs if run.protocol == "record"}
    held = {run: trained for run, trained in held.items() if _is_of(trained, results.file(run))}
    members = {one.runs.key: one for one in records() if one.members > 1}
    for run, trained in held.items():
        kept = results.file(run)
        missed, shifted = (kept.parent / folder / f"{kept.stem}.csv" for folder in (MISSED, SHIFTED))
        if not missed.exists() and trained.predictions_of("test").is_file():
            _write(missed, read_answers(trained.predictions_of("test")))
        if run.entry.key not in members and not shifted.exists() and trained.tested_checkpoint.is_file():
            test = _test_images(trained)
            _keep(shifted, mean_of_views([load_net(trained.tested_checkpoint)], test.images), test)
    for one in members.values():
        _keep_ensembles(
            one, {run.seed: (run, trained) for run, trained in held.items() if run.entry.key == one.runs.key}, results
        )


def _keep_ensembles(record: RecordEntry, held: dict[int, tuple[StudyRun, Run]], results: Results) -> None:
    for first in range(1, record.seeds + 1, record.members):
        seeds = range(first, first + record.members)
        if not set(seeds) <= set(held):
            continue
        target = results.file(held[first][0]).parent / ENSEMBLES / f"seeds_{first}_{seeds[-1]}.csv"
        checkpoints = [held[seed][1].tested_checkpoint for seed in seeds]
        if not target.exists() and all(one.is_file() for one in checkpoints):
            test = _test_images(held[first][1])
            _keep(target, together([load_net(one) for one in checkpoints], test), test)


def _is_of(trained: Run, kept: Path) -> bool:
    """Whether the kept figures are those of the very run in a directory."""
    there = kept.is_file() and trained.metrics_file.is_file()
    return there and kept.read_bytes() == trained.metrics_file.read_bytes()


def _test_images(trained: Run) -> ImageSet:
    data: Any = build_data(trained.config(), training=False)
    data.prepare_data()
    data.setup("test")
    images: ImageSet = data.splits["test"]
    return images


def _keep(target: Path, logits: Tensor, test: ImageSet) -> None:
    _write(target, prediction_rows(logits, test.labels))


def _write(target: Path, rows: Iterable[Mapping[str, object]]) -> None:
    wrong = [{name: row[name] for name in COLUMNS} for row in rows if row["label"] != row["predicted"]]
    target.parent.mkdir(exist_ok=True)
    write_table(target, COLUMNS, wrong)
