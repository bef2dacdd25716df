"""Trains one model: configuration, data, model, trainer, fit, test, report."""

if __name__ == "__main__":  # before anything makes a tensor
    from mnist_cnn.speed import huge_pages

    huge_pages.ask_for()

import functools
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities.model_helpers import is_overridden

from mnist_cnn import cli
from mnist_cnn.callbacks import AtomicCheckpointIO, History, SeedEpochs, SelfContained, every_epoch
from mnist_cnn.config.build import DataModule, build, build_data
from mnist_cnn.config.command_line import training_call
from mnist_cnn.config.metrics import OURS, monitors
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.config.recipe import offered
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import LayerRow, rows_of
from mnist_cnn.models.net import NetClassifier
from mnist_cnn.models.reading import Scale
from mnist_cnn.optim import PlateausResume
from mnist_cnn.report.console import ProgressBar, interactive, logging_to
from mnist_cnn.report.forecast import Forecast, earlier_epoch
from mnist_cnn.report.tables import count, final_table, start_report
from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.environment import environment
from mnist_cnn.runs.history import Epoch, final_figures, timing
from mnist_cnn.runs.keeper import Keeper
from mnist_cnn.runs.model import ready_model
from mnist_cnn.runs.protocol import how_tested, protocol_of
from mnist_cnn.runs.record import Record, known
from mnist_cnn.runs.settings import settings_digest
from mnist_cnn.runs.start import find_start
from mnist_cnn.runs.stopping import stoppable
from mnist_cnn.runs.submission import write_submission
from mnist_cnn.sweep.multirun import launch_sweep, run_sweep

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a training leaves: its run directory with the record, and the objects it was made with.

    Args:
        model: with the weights that the test measured.
    """

    run: Run
    record: Record
    model: pl.LightningModule
    trainer: pl.Trainer

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
        Interrupted: Ctrl-C or SIGTERM.
    """
    with run.held(new=checkpoint is None), logging_to(run.log_file), quiet_libraries(), Keeper(run, cfg.seed) as keeper:
        run.save_config(cfg, overrides)
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        speed = build(cfg.speed)
        with speed.memory():
            data = build_data(cfg)
            data.prepare_data()
            data.setup("fit")
            scale = Scale(data.divide_by, data.mean())
            model, node, start = ready_model(cfg, data, checkpoint)
            if isinstance(model, Classifier):
                clips_mixed = bool(cfg.trainer.gradient_clip_val) and "mixed" in cfg.trainer.precision
                speed.apply(model, clips_mixed=clips_mixed)
                model.scale = scale
            history = History(run.history_file, began, monitors(OmegaConf.to_container(cfg)))
            trainer = build_trainer(cfg, run, history, node, scale, data.holds_out)
            like_it = earlier_epoch(run.path.parent, cfg, torch.get_num_threads())
            trainer.callbacks.append(Forecast(keeper, like_it))  # type: ignore[attr-defined]
            if not isinstance(model, Classifier):  # rehearses its validation: does it log what is followed?
                trainer.num_sanity_val_steps = max(1, trainer.num_sanity_val_steps)
            rows = model.layer_rows if isinstance(model, Classifier) else rows_of(model)
            asked_test = cfg.test if is_overridden("test_step", model) else "never"
            keeper.add(**describe(cfg, overrides, data, model, rows, trainer, asked_test))
            log.info(start_report(cfg, run, keeper.record, rows, start))

            with stoppable(trainer, run):
                trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)

            state = load_checkpoint(run.checkpoint(cfg.test_weights))
            model.load_state_dict(state["state_dict"])
            tested: dict[str, float] = {}
            on_validation: list[torch.Tensor] = []
            how = how_tested(data, asked_test)
            with stoppable(trainer, run):
                if how == "once":
                    tested = dict(trainer.test(model, datamodule=data, verbose=False)[0])
                if isinstance(model, Classifier) and data.holds_out and trainer.world_size == 1:
                    on_validation = predict_validation(trainer, model, data)
        chosen = cfg.callbacks.checkpoint or {"monitor": None, "mode": None}
        by_class = model if isinstance(model, Classifier) and how == "once" else None
        if by_class is not None and trainer.world_size == 1:
            run.save_predictions(torch.cat(by_class.predictions))
        if on_validation:
            run.save_predictions(torch.cat(on_validation), "val")
        if how == "unlabelled" and trainer.is_global_zero:
            write_submission(run, model, data)
        keeper.add(
            status="completed",
            protocol=protocol_of(data, asked_test),
            test_weights=cfg.test_weights,
            test_epoch=len(state["callbacks"][history.state_key]["rows"]),
            epochs=len(history.rows),
            figures=final_figures(history.rows, chosen["monitor"], chosen["mode"])
            | {name: float(value) for name, value in tested.items()},
            **({name: chosen[name] for name in ("monitor", "mode")} if chosen["monitor"] not in (None, *OURS) else {}),
            # rows: true class
            **({"confusion": by_class.confusion.compute().tolist()} if by_class is not None else {}),
            timing=timing(history.rows) | {"start_seconds": history.start_seconds},
        )
        if cfg.figures and trainer.is_global_zero:
            draw(run, keeper.record, data)
        log.info("\n" + final_table(keeper.record, run.path))
    return Result(run, keeper.record, model, trainer)


def predict_validation(trainer: pl.Trainer, model: Classifier, data: pl.LightningDataModule) -> list[torch.Tensor]:
    """What the tested weights say of the validation images; a prediction, which callbacks and loggers do not count."""
    data.predict_dataloader = data.val_dataloader  # type: ignore[method-assign]
    trainer.limit_predict_batches = trainer.limit_val_batches
    rows: Any = trainer.predict(model, datamodule=data)
    return rows or []


def build_trainer(
    cfg: DictConfig, run: Run, history: History, node: dict[str, Any], scale: Scale, holds_out: bool
) -> pl.Trainer:
    """With the callbacks that every run has, and those of the configuration."""
    callbacks = [SeedEpochs(cfg.seed), PlateausResume(), history, SelfContained(node, scale)]
    callbacks += [offered(given, dirpath=str(run.checkpoints)) for _, given in entries(cfg.callbacks)]
    callbacks.append(every_epoch(run.path))  # after the others, so that it saves their newest state
    if interactive():
        callbacks.append(ProgressBar())
    loggers = [offered(given, save_dir=str(run.path)) for _, given in entries(cfg.logger)]
    without = {} if holds_out else {"limit_val_batches": 0}
    return build(
        cfg.trainer,
        **without,
        callbacks=callbacks,
        logger=loggers or False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=str(run.path),
        enable_progress_bar=interactive(),
        enable_model_summary=False,
    )


def entries(group: DictConfig) -> list[tuple[str, Any]]:
    """The entries of a group that are not switched off by null."""
    return [(str(name), node) for name, node in group.items() if node is not None]


def describe(
    cfg: DictConfig,
    overrides: list[str],
    data: DataModule,
    model: pl.LightningModule,
    rows: Sequence[LayerRow],
    trainer: pl.Trainer,
    test: str,
) -> dict[str, Any]:
    """What the record says before the first step."""
    total, trainable = count(rows)
    net = model.net if isinstance(model, NetClassifier) else model
    averages = [type(c).__name__ for c in trainer.callbacks if isinstance(c, WeightAveraging)]  # type: ignore[attr-defined]
    return {
        "model": type(net).__name__,
        "parameters": {"total": total, "trainable": trainable},
        "protocol": protocol_of(data, test),
        "batch_size": cfg.data.get("batch_size"),
        "max_epochs": cfg.trainer.max_epochs,
        "precision": cfg.trainer.precision,
        "config_digest": settings_digest(cfg),
        **({"averaging": averages[0]} if averages else {}),
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
    with cli.user_errors():
        call = training_call(cli.arguments())
        if call is None:
            return
        if not call.multirun:
            start = find_start(call)
            train(start.cfg, start.run, start.overrides, start.checkpoint)
        elif call.has_launcher():
            launch_sweep(call, train)
        else:
            sys.exit(run_sweep(call, train))


if __name__ == "__main__":
    from mnist_cnn import train as importable  # jobs are sent to other processes by this name

    importable.main()
