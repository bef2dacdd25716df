"""Trains one model: configuration, data, model, trainer, fit, test, report."""

if __name__ == "__main__":  # before the imports, which take seconds, and make tensors
    from mnist_cnn.signals import leave_at_once
    from mnist_cnn.speed import huge_pages

    leave_at_once()
    huge_pages.ask_for()

    from mnist_cnn.cli import answer_at_once

    answer_at_once("train")

import contextlib
import functools
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import WeightAveraging

from mnist_cnn import cli
from mnist_cnn.config.build import DataModule, build, build_data
from mnist_cnn.config.command_line import training_call
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.data.adopted import labels_blamed
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import LayerRow
from mnist_cnn.models.net import NetClassifier
from mnist_cnn.report.console import logging_to
from mnist_cnn.report.forecast import Forecast, earlier_epoch
from mnist_cnn.report.tables import count, final_table, start_report
from mnist_cnn.runs.claim import Fence, claimed
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.environment import environment
from mnist_cnn.runs.history import Epoch
from mnist_cnn.runs.keeper import Keeper
from mnist_cnn.runs.listing import find_siblings
from mnist_cnn.runs.model import asked_test, layer_rows
from mnist_cnn.runs.own_code import changes_of_code, recorded_code
from mnist_cnn.runs.protocol import protocol_of, readings
from mnist_cnn.runs.record import Record, known
from mnist_cnn.runs.settings import settings_digest
from mnist_cnn.runs.start import find_start
from mnist_cnn.runs.stopping import foreign_errors, stoppable
from mnist_cnn.sweep.multirun import run_sweep
from mnist_cnn.training.batches import check_batches, check_last_batch, require_same_images, warn_of_softmax
from mnist_cnn.training.measure import measure
from mnist_cnn.training.rehearsal import rehearse_late_kinds
from mnist_cnn.training.teacher import learn_from
from mnist_cnn.training.trainer import assemble
from mnist_cnn.training.waiting import Waiting, threads_for

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Result:
    """What a training leaves: its run directory with the record, and the objects it was made with.

    Args:
        model: with the weights that the test measured.
    """

    run: Run
    record: Record
    model: pl.LightningModule
    trainer: pl.Trainer

    def __repr__(self) -> str:
        measured = {name: value for name, value in self.figures.items() if isinstance(value, float)}
        last = [f"{name} {value:.4f}" for name, value in measured.items() if name.startswith(("val/", "test/"))]
        return f"Result({self.run.path}: {', '.join(last)})"

    @property
    def figures(self) -> dict[str, Any]:
        """Accuracies in [0, 1] and losses by the names that metrics.json has: `test/acc`."""
        return self.record.results.model_dump()

    @property
    def history(self) -> list[Epoch]:
        """A row per epoch, as in metrics.csv."""
        return self.run.history()


def train(
    cfg: DictConfig, run: Run, overrides: list[str], checkpoint: Path | None = None, began: float | None = None
) -> Result:
    """Trains, tests and reports one run, from the start or from `checkpoint`.

    Args:
        cfg: validated.
        overrides: what was asked for, for the record.
        began: see `History`.

    Raises:
        DataError, RunError: something is wrong before training, or the directory is not free.
        Diverged: the loss became NaN or infinite; the checkpoints of earlier epochs are kept.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP.
    """
    with (
        claimed(run, cfg, new=checkpoint is None) as claim,
        logging_to(run.log_file),
        quiet_libraries(),
        Keeper(claim, cfg, overrides) as keeper,
        stoppable(run),
        threads_for(cfg, run if checkpoint else None) as threads,
        contextlib.ExitStack() as ending,
    ):
        if claim.found and checkpoint is None:
            log.info(f"{run.path}: no epoch of it was complete; it starts from its beginning")
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        speed = build(cfg.speed, "speed")
        with speed.memory():
            data = build_data(cfg)
            data.prepare_data()
            data.setup("fit")
            check_batches(cfg, data, overrides)
            require_same_images(data, keeper.before if checkpoint else None)
            learn_from(cfg, data)
            forecast = Forecast(keeper, earlier_epoch(find_siblings(run.path), cfg, threads))
            parts = assemble(
                cfg, run, data, speed, checkpoint, began, keeper.begin, [forecast, Waiting(), Fence(claim)]
            )
            model, trainer, trackers = parts.model, parts.trainer, ending.enter_context(parts.trackers)
            check_last_batch(cfg, data, model)
            warn_of_softmax(data, model)
            rows = layer_rows(model)
            for words in changes_of_code(cfg, keeper.before):
                log.warning(words)
            read = readings(keeper.before)
            went_on = keeper.before if checkpoint else None
            keeper.add(**describe(cfg, overrides, data, model, rows, trainer, read), **recorded_code(cfg, went_on))
            log.info(start_report(cfg, run, keeper.record, rows, parts.said, isinstance(model, Classifier)))

            with foreign_errors(run), labels_blamed(data):
                trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            outcome = measure(cfg, run, parts.history, trainer, model, data, read)
            keeper.begin()  # where no step was left
        keeper.add(status="completed", **outcome)
        if cfg.figures and trainer.is_global_zero:
            draw(run, keeper.record, data)
            trackers.show(sorted(run.path.glob("*.png")), trainer.global_step)
        log.info("\n" + final_table(keeper.record, run.path))
    return Result(run, keeper.record, model, trainer)


def describe(
    cfg: DictConfig,
    overrides: list[str],
    data: DataModule,
    model: pl.LightningModule,
    rows: Sequence[LayerRow],
    trainer: pl.Trainer,
    read: Sequence[int],
) -> dict[str, Any]:
    """What the record says before the first step.

    Args:
        read: see `protocol_of`.
    """
    total, trainable = count(rows)
    net = model.net if isinstance(model, NetClassifier) else model
    averages = [type(c).__name__ for c in trainer.callbacks if isinstance(c, WeightAveraging)]  # type: ignore[attr-defined]
    watched = model.watched["test_"].named_children() if isinstance(model, Classifier) else []
    better = {name: getattr(metric, "higher_is_better", None) for name, metric in watched}
    return {
        "model": type(net).__name__,
        "parameters": {"total": total, "trainable": trainable},
        "protocol": protocol_of(cfg, data, asked_test(cfg, model), model, read),
        "batch_size": cfg.data.get("batch_size"),
        "max_epochs": cfg.trainer.max_epochs,
        "precision": cfg.trainer.precision,
        "config_digest": settings_digest(cfg),
        **({"averaging": averages[0]} if averages else {}),
        **({"higher_is_better": better} if better else {}),
        **environment(trainer.strategy.root_device, ["python", "-m", "mnist_cnn.train", *overrides]),
    }


def draw(run: Run, record: Record, data: DataModule) -> None:
    """The plots of the run, under the name it was asked for by."""
    from mnist_cnn.report.plots import augmented, draw_run  # matplotlib takes a second to import

    named = [o.partition("=")[2] for o in run.overrides() if o.startswith(("experiment=", "model="))]
    protocol = known(record.protocol)
    title = f"{named[-1] if named else record.model} on {protocol.dataset}, seed {record.seed}"
    if (accuracy := record.results.test_acc) is not None and protocol.test_images:
        title += f": {accuracy:.2%} of {protocol.test_images:,} test images, epoch {record.test_epoch}"
    seen = functools.partial(augmented, data.augment, data.divide_by) if data.augment is not None else None
    draw_run(run, title, data.splits.get("train"), data.splits.get("test"), seen)


def main() -> None:
    with cli.user_errors(trains=True):
        call = training_call(cli.arguments())
        if call is None:
            return
        if not call.multirun:
            start = find_start(call)
            train(start.cfg, start.run, start.overrides, start.checkpoint)
        else:
            sys.exit(run_sweep(call, train, rehearse_late_kinds))


if __name__ == "__main__":
    from mnist_cnn import train as importable  # jobs are sent to other processes by this name

    importable.main()
