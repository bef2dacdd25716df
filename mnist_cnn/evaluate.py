"""Measures a finished run again on the test images, from its saved configuration and checkpoint."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import answer_at_once

    answer_at_once("evaluate")

import json
import logging
import math
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.model_helpers import is_overridden

from mnist_cnn import cli
from mnist_cnn.config.build import build_data, build_metrics
from mnist_cnn.config.command_line import evaluation_overrides
from mnist_cnn.config.compose import compose_named, compose_run
from mnist_cnn.config.foreign import Precision
from mnist_cnn.config.module import build_module, plain_node
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.config.schema import problems_to_evaluate
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.own import seen_from
from mnist_cnn.errors import ConfigError, DataError, RunError
from mnist_cnn.files import kind_of, require_writable
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.reading import Scale
from mnist_cnn.report.console import logging_to
from mnist_cnn.report.further import load_members, measure_further, validated_alike
from mnist_cnn.report.text import counted, wrapped
from mnist_cnn.runs.checkpoint import Trained, load_trained
from mnist_cnn.runs.directory import Run, with_todays_keys
from mnist_cnn.runs.own_code import changes_of_code
from mnist_cnn.runs.protocol import protocol_of
from mnist_cnn.runs.submission import write_submission
from mnist_cnn.runs.trained import Net, class_names_of, folder_of, locate, readable_record, require_its_classes
from mnist_cnn.values import PathName, problem

log = logging.getLogger(__name__)
OF_MACHINE = ("root", "num_workers", "pin_memory", "eval_batch_size")  # settings of `data` that no checkpoint has
SETTINGS: dict[str, Any] = {
    "run_dir": PathName | None,
    "checkpoint": PathName | None,
    "weights": Literal["best", "last"] | None,
    "data_root": PathName | None,
    "accelerator": Literal["auto", "cpu", "gpu"],
    "precision": Precision | None,
    "details": bool,
    "corruptions": bool,
    "shifts": bool,
    "ensemble": list[PathName] | None,
    "out": PathName | None,
    "format": Literal["text", "json"],
}


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Test figures of a run's checkpoint; the same as training printed for the same weights.

    Raises:
        ConfigError, RunError, DataError: no such run, a checkpoint that is damaged or could run code, no images.
    """
    members = _members(cfg)
    run, path = locate(cfg, SETTINGS)
    saved, source = saved_config(cfg, run, path)
    folder = Path(cfg.out) if cfg.out is not None else folder_of(run, path) / "evaluation"
    beyond_accuracy = bool(cfg.details or cfg.corruptions or cfg.shifts or members)
    if cfg.details:
        require_writable(folder, RunError)
    elif cfg.out is not None:
        raise ConfigError([f"out = {cfg.out!r}: only details=true draws plots to be put there"])
    saved.trainer.accelerator = cfg.accelerator
    saved.trainer.precision = cfg.precision or saved.trainer.get("precision")
    trained = load_trained(path)
    if source != path:
        _require_its_net(saved, trained, path, source)
    saved.model = trained.model  # also says how many classes there are
    problems = problems_to_evaluate(saved)
    if problems:
        raise ConfigError([f"{source}: {p}" for p in problems])
    data, model = build_data(saved, training=False), build_module(plain_node(saved.model))
    record = readable_record(run)
    built = {name: plain_node(saved[name]) for name in ("model", "data", "metrics")}
    for words in changes_of_code(built, record):
        log.warning(words)
    data.prepare_data()
    require_its_classes(data, model, class_names_of(run) or trained.class_names, path)
    if isinstance(model, Classifier):
        model.watch(build_metrics(plain_node(saved.metrics), model.num_classes))
    try:
        model.load_state_dict(trained.weights)
    except (KeyError, RuntimeError) as error:
        raise RunError(f"{path}: its weights do not fit the net in {source}") from error
    trainer = pl.Trainer(
        accelerator=saved.trainer.accelerator, devices=1, precision=saved.trainer.precision, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        use_distributed_sampler=False,
        **{key: saved.trainer.get(key) for key in ("limit_test_batches", "benchmark", "deterministic")},
    )  # fmt: skip
    if data.test_images == "unlabelled":
        written = write_submission(folder_of(run, path), model, data)
        log.info(f"the test images have no labels; their predicted classes are in {written}")
        return {}
    nothing = RunError(f"{run.path}: the data have no test images")
    if data.test_images == "none":
        raise nothing
    if not is_overridden("test_step", model):
        raise RunError(f"{source}: {saved.model._target_} has no test_step, so nothing measures it on the test images")
    found = trainer.test(model, datamodule=data, verbose=False)
    if not found:
        raise nothing
    figures: dict[str, Any] = dict(found[0])
    epochs = None if trained.epoch is None else trained.epoch + 1
    log.info(f"{path}" + (f", {counted(epochs, 'epoch')} trained" if epochs else ""))
    shown = {name.removeprefix("test/"): f"{value:.4f}" for name, value in figures.items()}
    if "test/acc" in figures:
        shown = {"accuracy": f"{figures['test/acc']:.2%}"} | {k: v for k, v in shown.items() if k != "acc"}
    words = ", ".join(f"{name} {value}" for name, value in shown.items())
    images = f", {len(data.splits['test']):,} images" if "test" in data.splits else ""
    log.info(wrapped(f"test {words}{images}", 2))
    protocol = "not known"
    if source != path:
        told = record.protocol if record is not None else None
        protocol = told.summary if told else protocol_of(saved, data, saved.test, model)["summary"]
    log.info(wrapped(f"protocol of the run: {protocol}", 2))
    if beyond_accuracy:
        if not isinstance(data, ImageDataModule):
            raise RunError(f"{source}: {saved.data._target_} is no data module of this package: no more is measured")
        kept = not members or validated_alike(cfg.ensemble)
        members = members or [Net(model.cpu().eval(), Scale(**trained.scale))]
        title = f"{type(model).__name__}, {run.path.name}" if len(members) == 1 else f"ensemble of {len(members)}"
        figures |= measure_further(members, data, folder, title, kept, cfg.details, cfg.corruptions, cfg.shifts)
    return figures


def _members(cfg: DictConfig) -> list[Net]:
    """The nets of an ensemble, whose first run says on which images; none where there is no ensemble."""
    if cfg.get("ensemble") is None:
        return []
    if wrong := problem("ensemble", OmegaConf.to_container(cfg)["ensemble"], SETTINGS["ensemble"]):  # type: ignore[call-overload,index]
        raise ConfigError([wrong])
    if cfg.run_dir or cfg.checkpoint:
        raise ConfigError(["ensemble: names all runs; leave run_dir and checkpoint out"])
    members = load_members(cfg.ensemble, cfg.weights)
    cfg.run_dir = cfg.ensemble[0]
    return members


def _require_its_net(saved: DictConfig, trained: Trained, path: Path, source: Path) -> None:
    """Raises RunError where a checkpoint holds another net than the run's."""
    other = with_todays_keys(OmegaConf.create({**saved, "model": trained.model}))
    net, held = plain_node(saved.model), plain_node(other.model)
    differences = [
        f"model.{key} = {held.get(key)!r}, not {value!r}"
        for key, value in net.items()
        if value not in (None, held.get(key))
    ]
    if differences:
        raise RunError(f"{path}: holds another net than {source} says: {'; '.join(differences)}")


def saved_config(cfg: DictConfig, run: Run, checkpoint: Path) -> tuple[DictConfig, Path]:
    """The configuration of what `locate` found for `cfg`, images under its `data_root`, and the file that holds it.

    A checkpoint that was named by itself and lies in no run directory tells its net, its scale and which images it was
    trained on, where they were of this package's data modules; all else is as in conf/.

    Raises:
        RunError: as `load_trained` and `Run.config`.
        DataError: no such `data_root`, or none for images of somebody's own.
    """
    alone = cfg.checkpoint is not None and not run.config_file.is_file()
    if alone:
        trained = load_trained(checkpoint)
        saved = compose_run([], whole=True).cfg
        if trained.data is not None:
            if trained.data.get("train", "") is None and cfg.data_root is None:  # whatever lies in the working folder
                words = "a checkpoint alone does not say where the images of its net lie"
                raise DataError(f"{checkpoint}: {words}; name their folder by data_root=, or the run by run_dir=")
            of_this_machine = {key: saved.data[key] for key in OF_MACHINE if key not in trained.data}
            saved.data = of_this_machine | trained.data
            saved = with_todays_keys(saved)
        else:
            log.info(f"{checkpoint}: does not say which images it was trained on; here: {saved.data.dataset}")
        saved.model, saved.data.divide_by = trained.model, trained.scale["divide_by"]
        saved.test = trained.test or saved.test
    else:
        saved = run.config()
    if cfg.data_root is not None:
        # What only reads makes no folder, and fetches nothing into it.
        if kind_of(Path(cfg.data_root).expanduser()) is None:
            raise DataError(f"data_root={cfg.data_root}: no such folder{seen_from(Path(cfg.data_root))}")
        saved.data.root = cfg.data_root
    return saved, checkpoint if alone else run.config_file


def main() -> None:
    with cli.user_errors(), quiet_libraries():
        overrides = evaluation_overrides(cli.arguments(), "evaluate")
        if overrides is None:
            return
        cfg = compose_named("evaluate", overrides)
        if cfg.format == "json":
            print(json.dumps({name: value if math.isfinite(value) else None for name, value in evaluate(cfg).items()}))
            return
        with logging_to():
            evaluate(cfg)


if __name__ == "__main__":
    main()
