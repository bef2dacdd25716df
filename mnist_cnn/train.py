"""Trains one model: configuration, data, model, trainer, fit, test, report."""

import mnist_cnn.huge_pages  # noqa: F401, before PyTorch

# isort: split

import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mnist_cnn import cli
from mnist_cnn.callbacks import AtomicCheckpointIO, History, SeedEpochs, every_epoch
from mnist_cnn.config import build, validate
from mnist_cnn.data.datamodule import MNISTDataModule
from mnist_cnn.errors import Interrupted, Pruned, UserError
from mnist_cnn.models.classifier import Classifier, Schedule
from mnist_cnn.report.console import ProgressBar, interactive, let_one_process_speak
from mnist_cnn.report.tables import count, final_table, layer_table, start_table
from mnist_cnn.runs import Run, digest, environment, load_checkpoint

log = logging.getLogger(__name__)


def train(cfg: DictConfig, run: Run, overrides: list[str], checkpoint: Path | None = None) -> dict[str, Any]:
    """Trains, tests and reports one run, from the start or from `checkpoint`, and returns its metrics.json.

    Raises:
        ConfigError, DataError, RunError: something is wrong before training.
        Diverged: the loss became NaN or infinite; the checkpoints of earlier epochs are kept.
        Interrupted: Ctrl-C or SIGTERM.
    """
    let_one_process_speak()
    validate(cfg)
    metrics: dict[str, Any] = {"status": "running", "pid": os.getpid(), "seed": cfg.seed}
    with run.held(), recorded(run, metrics, fresh=checkpoint is None):
        run.save_config(cfg, overrides)
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        speed = build(cfg.speed)
        speed.prepare_process()
        data = build_data(cfg)
        model = build_model(cfg)
        speed.apply(model, clips_mixed=bool(cfg.trainer.gradient_clip_val) and "mixed" in str(cfg.trainer.precision))
        history = History(run.history_file)
        trainer = build_trainer(cfg, run, history)
        data.prepare_data()
        data.setup("fit")
        metrics |= describe(cfg, data, model, trainer)
        run.save_metrics(metrics)
        announce(cfg, run, metrics, model, checkpoint)

        with stoppable(trainer, run):
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)

        which = cfg.test_weights
        state = load_checkpoint(run.checkpoint(which))
        model.load_state_dict(state["state_dict"])
        with stoppable(trainer, run):
            tested = trainer.test(model, datamodule=data, verbose=False)[0]
        metrics |= {
            "status": "completed",
            "test_weights": which,
            "test_epoch": len(state["callbacks"][history.state_key]["rows"]),
            "epochs": len(history.rows),
            "figures": figures(history, tested, cfg.callbacks.checkpoint),
            "confusion": model.confusion.compute().tolist(),  # rows: true class
            "timing": timing(history),
        }
        metrics["protocol"] = data.protocol()
        if trainer.world_size == 1:
            run.save_predictions(torch.cat(model.predictions))
    if cfg.figures and trainer.is_global_zero:
        draw(run, metrics, data)
    log.info("\n" + final_table(metrics, run.path))
    return metrics


def build_data(cfg: DictConfig) -> MNISTDataModule:
    return build(cfg.data, augment=build(cfg.augment) if cfg.augment else None)


def build_model(cfg: DictConfig) -> Classifier:
    schedule = None
    if cfg.scheduler:
        node = {k: v for k, v in cfg.scheduler.items() if k != "interval"}
        schedule = Schedule(build(node), cfg.scheduler.interval)
    return build(cfg.model, optimizer=build(cfg.optimizer), scheduler=schedule)


def build_trainer(cfg: DictConfig, run: Run, history: History) -> pl.Trainer:
    callbacks = [SeedEpochs(cfg.seed), history]
    for name, node in entries(cfg.callbacks):
        callbacks.append(build(node, **({"dirpath": str(run.checkpoints)} if name == "checkpoint" else {})))
    callbacks.append(every_epoch(run.path))  # after the others, so that it saves their newest state
    if interactive():
        callbacks.append(ProgressBar())
    loggers = [build(node, **{"save_dir": str(run.path), **node}) for _, node in entries(cfg.logger)]
    return build(
        cfg.trainer,
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


@contextlib.contextmanager
def stoppable(trainer: pl.Trainer, run: Run) -> Iterator[None]:
    """Turns Lightning's exit after Ctrl-C or SIGTERM into ours, which says how to go on."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, handler)
        exit_code = 143 if trainer.received_sigterm else 130
        if not run.checkpoint("last").exists():
            raise Interrupted("stopped before the first epoch was complete: nothing to resume", exit_code) from None
        raise Interrupted(
            f"stopped in epoch {trainer.current_epoch + 1}; every complete epoch is saved. "
            f"Continue with:\n  python -m mnist_cnn.train resume={run.path}",
            exit_code,
        ) from None


@contextlib.contextmanager
def recorded(run: Run, metrics: dict[str, Any], fresh: bool) -> Iterator[None]:
    """Keeps metrics.json true to what happens to the run; a fresh one needs a directory without a run."""
    if fresh:
        run.require_unused()
    run.save_metrics(metrics)
    try:
        yield
    except BaseException as error:
        status = {KeyboardInterrupt: "interrupted", Pruned: "pruned"}
        metrics |= {
            "status": next((word for kind, word in status.items() if isinstance(error, kind)), "failed"),
            "error": str(error) or type(error).__name__,
            "error_type": type(error).__name__,
        }
        # Into the run's own log; the console shows it when it ends the program, which a sweep does only at its end.
        alone = HydraConfig.get().mode != RunMode.MULTIRUN
        known = isinstance(error, UserError | KeyboardInterrupt)
        log.error(f"the run failed: {error}", exc_info=not known, extra={"file_only": alone})
        raise
    finally:
        run.save_metrics(metrics)


def describe(cfg: DictConfig, data: MNISTDataModule, model: Classifier, trainer: pl.Trainer) -> dict[str, Any]:
    total, trainable = count(model.layer_rows)
    return {
        "model": type(model).__name__,
        "parameters": {"total": total, "trainable": trainable},
        "protocol": data.protocol(),
        "batch_size": cfg.data.batch_size,
        "max_epochs": cfg.trainer.max_epochs,
        "precision": cfg.trainer.precision,
        "config_digest": digest(cfg),
        **environment(trainer.strategy.root_device),
    }


def announce(cfg: DictConfig, run: Run, metrics: dict[str, Any], model: Classifier, checkpoint: Path | None) -> None:
    protocol, parameters = metrics["protocol"], metrics["parameters"]
    schedule = cfg.scheduler.get("_target_", "constant").rpartition(".")[2] if cfg.scheduler else "constant"
    facts = {
        "model": f"{metrics['model']}, {parameters['total']:,} parameters, {parameters['trainable']:,} trainable",
        "recipe": f"{cfg.optimizer._target_.rpartition('.')[2]} lr {cfg.optimizer.lr}, {schedule}, "
        f"batch {cfg.data.batch_size}, {cfg.trainer.max_epochs} epochs, seed {cfg.seed}",
        "data": f"{protocol['dataset']}, {protocol['train_images']:,} training and {protocol['val_images']:,} "
        f"{'test images as validation' if protocol['test_images_watched'] else 'validation images'}"
        + ("" if protocol["verified"] else " (files not verified)"),
        "protocol": protocol["summary"],
        "device": f"{metrics['hardware']['device']}, {metrics['hardware']['threads']} threads, {cfg.trainer.precision}",
        "run": str(run.path),
    }
    if checkpoint is not None:
        facts["resumed"] = str(checkpoint)
    log.info(layer_table(model.layer_rows) + "\n\n" + start_table(facts) + "\n")


def figures(history: History, tested: Mapping[str, float], checkpoint: DictConfig) -> dict[str, Any]:
    """Last epoch, best epoch by the checkpoint's monitor, and test."""
    last, key = history.rows[-1], checkpoint.monitor
    final = {name: last.get(name) for name in ("train/acc", "train/loss", "val/acc", "val/loss")}
    measured = [row for row in history.rows if "val/acc" in row]
    if not measured:
        return {"best_epoch": None} | final | {name: float(value) for name, value in tested.items()}
    best = (min if checkpoint.mode == "min" else max)(measured, key=lambda row: row[key])
    chosen = {"best_epoch": best["epoch"], "best/acc": best["val/acc"], "best/loss": best["val/loss"]}
    return final | chosen | {name: float(value) for name, value in tested.items()}


def draw(run: Run, metrics: dict[str, Any], data: MNISTDataModule) -> None:
    from mnist_cnn.report.figures import draw_run  # matplotlib takes a second to import

    named = [o.partition("=")[2] for o in run.overrides() if o.startswith(("experiment=", "model="))]
    title = f"{named[-1] if named else metrics['model']}, seed {metrics['seed']}"
    draw_run(run, title, data.splits["train"], data.splits["test"])


def timing(history: History) -> dict[str, float | None]:
    """Over all epochs, also those before a resume; `train_seconds` leaves validation out, `start_seconds` runs from
    the start of the process to the end of its first step."""
    total, training = (sum(row[key] for row in history.rows) for key in ("seconds", "train_seconds"))
    return {
        "fit_seconds": total,
        "train_seconds": training,
        "epoch_seconds": total / len(history.rows),
        "start_seconds": history.start_seconds,
        "images_per_second": sum(row["images"] for row in history.rows) / training,
    }


def main() -> None:
    cli.run_training(train)


if __name__ == "__main__":
    main()
