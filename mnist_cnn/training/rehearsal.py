"""Does a configuration train? One step of everything, in a temporary folder that goes afterwards.

A step of training, validation, a checkpoint saved and resumed from, and the test, with the Trainer, the callbacks and
the data of the run itself. Loggers that speak to a server are left out, and what would be fetched is made up.
"""

import contextlib
import copy
import errno
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.utilities.seed import isolate_rng

from mnist_cnn.config.build import DataModule, build, build_data
from mnist_cnn.config.call import Call, CheckedJob
from mnist_cnn.config.checks import starts_processes
from mnist_cnn.config.memory import bounded_memory
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.config.signatures import locate
from mnist_cnn.data.datamodule import MNISTDataModule
from mnist_cnn.data.images import SIDE, ImageSet
from mnist_cnn.data.own import OwnDataModule
from mnist_cnn.errors import ConfigError, Diverged, UserError
from mnist_cnn.runs.claim import claimed
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.resume import Start
from mnist_cnn.runs.start import find_start
from mnist_cnn.sweep.resuming import resumed_sweep
from mnist_cnn.training.batches import check_batches
from mnist_cnn.training.blame import tell
from mnist_cnn.training.kinds import kinds_of
from mnist_cnn.training.measure import measure
from mnist_cnn.training.trainer import assemble

SERVERLESS = (CSVLogger, TensorBoardLogger)
# What may be another number without another verdict, and keeps it short.
SHORT = {
    "min_epochs": None, "min_steps": None, "check_val_every_n_epoch": 1, "val_check_interval": None,
    "limit_val_batches": 1, "limit_test_batches": 1, "num_sanity_val_steps": 0,
}  # fmt: skip
ONE_PROCESS = {"devices": 1, "num_nodes": 1, "strategy": "auto"}
MOST_ACCUMULATED = 2
FEW = 16  # images of a batch
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoRoom(UserError):
    """For the files of a rehearsal, which says nothing of what was rehearsed."""


class StopSoon(pl.Callback):
    """Ends a training after the optimizer's first step, as an epoch that is complete."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.before = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *given: Any) -> None:
        trainer.should_stop = trainer.should_stop or trainer.global_step > self.before


def check_call(call: Call, rehearsing: bool = True) -> tuple[list[list[str]], int]:
    """Whether the training or the sweep of a call will train.

    Returns:
        the overrides of every job, and how many were rehearsed.

    Raises:
        UserError: what the training would say; `ConfigError` with all that is wrong with any job.
    """
    if call.multirun and call.value("resume") is not None:
        return [job.overrides for job in resumed_sweep(call).jobs], 0
    if call.multirun:
        jobs = call.check()
        return [job.overrides for job in jobs], _rehearse_jobs(jobs) if rehearsing else 0
    start = find_start(call)
    if rehearsing:
        _try_place(start)
        rehearse(start.cfg, start.overrides)
    return [start.overrides], int(rehearsing)


def _try_place(start: Start) -> None:
    """Takes the run directory and gives it back as it was."""
    with contextlib.suppress(GivenBack), claimed(start.run, start.cfg, new=start.checkpoint is None):
        raise GivenBack


class GivenBack(UserError):
    """Ends a claim that nothing came of."""


def _rehearse_jobs(jobs: Sequence[CheckedJob]) -> int:
    """Rehearses one job of every kind, and returns how many that are.

    Raises:
        ConfigError: with the problems of all of them.
    """
    firsts = [first for first, *_ in kinds_of(jobs)]
    problems = [
        f"{job.name}: {text}" if len(jobs) > 1 else text for job in firsts for text in _found_by_rehearsing(job)
    ]
    if problems:
        raise ConfigError(problems)
    return len(firsts)


def rehearse_late_kinds(jobs: Sequence[CheckedJob], at_once: int) -> None:
    """Adds to the problems of the jobs of a sweep what would be found hours after its start.

    A kind of which a job is among the first `at_once` is rehearsed by that job.
    """
    sound = [job for job in jobs if not job.problems]
    first = {job.number for job in sound[:at_once]}
    for kind in kinds_of(sound):
        if kind[0].number not in first:
            found = _found_by_rehearsing(kind[0])
            for job in kind:
                job.problems.extend(found)


def _found_by_rehearsing(job: CheckedJob) -> list[str]:
    try:
        rehearse(job.cfg, job.overrides)
    except NoRoom:
        raise
    except UserError as error:
        return error.problems if isinstance(error, ConfigError) else [str(error)]
    return []


def rehearse(cfg: DictConfig, overrides: Sequence[str] = ()) -> None:
    """Rehearses a valid configuration; `overrides` are what was asked for.

    Raises:
        ConfigError: with the key, the value and the words of what would end the training.
        DataError: the images are not what they should be.
        NoRoom: its own files do not fit onto the disk.
    """
    with _unheard(), bounded_memory(), tempfile.TemporaryDirectory(prefix="mnist-cnn-") as folder:
        whole, run = cfg, Run(Path(folder))
        cfg = shortened(cfg)
        try:
            speed = build(cfg.speed, "speed")
            data = blank_data(cfg)
            check_batches(whole, data, overrides)
            for checkpoint in (None, run.checkpoint("last")):
                parts = assemble(cfg, run, data, speed, checkpoint, further=[StopSoon()])
                parts.trainer.fit(parts.model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            measure(cfg, run, parts.history, parts.trainer, parts.model, data)
        except Diverged:
            return  # a matter of the figures; made-up images have none
        except Exception as error:
            if full := next((each for each in _causes(error) if each.errno in FULL), None):
                ways = "rehearse=false goes without it, TMPDIR=<folder> says where it may write"
                raise NoRoom(f"rehearsal: no room in {run.path.parent} ({full.strerror}); {ways}") from error
            tell(error, cfg)


def _causes(error: BaseException | None) -> Iterator[OSError]:
    while error is not None:
        if isinstance(error, OSError):
            yield error
        error = error.__cause__ or error.__context__


def shortened(cfg: DictConfig) -> DictConfig:
    """A copy that trains in one process, without servers, no longer than it takes to see whether it works."""
    cfg = copy.deepcopy(cfg)
    OmegaConf.set_struct(cfg, False)
    trainer = cfg.trainer
    several = ONE_PROCESS if starts_processes(trainer) else {}
    for key, value in (SHORT | several).items():
        if key in trainer:
            trainer[key] = value
    trainer.accumulate_grad_batches = min(trainer.get("accumulate_grad_batches", 1), MOST_ACCUMULATED)
    cfg.speed.compile = False
    small = {"batch_size": min(cfg.data.get("batch_size", 1), FEW), "eval_batch_size": FEW, "num_workers": 0}
    cfg.data.update({key: value for key, value in small.items() if key in cfg.data})
    cfg.logger = {name: node for name, node in cfg.logger.items() if node and _is_local(node)}
    return cfg


def blank_data(cfg: DictConfig) -> DataModule:
    """The data of a configuration, set up: the files that are there, with made-up pictures in place of slow ones."""
    data = build_data(cfg)
    if isinstance(data, MNISTDataModule) and data.md5 is not None:  # whose files may be fetched
        if not all((data.folder / name).is_file() for name in data.preset.files):
            classes = len(data.class_names)
            sizes = dict(zip(("train", "test"), data.preset.sizes, strict=True))
            data.read = lambda split: ImageSet(  # type: ignore[method-assign]
                _pixels(sizes[split]).unsqueeze(1), torch.arange(sizes[split]) % classes
            )
    else:
        data.prepare_data()
        if isinstance(data, OwnDataModule):
            labels, pixels = data.labels, data.pixels
            data.pixels = lambda split: (  # type: ignore[method-assign]
                _pixels(len(found.values)) if (found := labels(split)) is not None else pixels(split)
            )
    data.setup("fit")
    data.prepare_data = lambda: None  # type: ignore[method-assign]  # nor does the Trainer fetch anything
    return data


def _pixels(count: int) -> torch.Tensor:
    """One picture, of random numbers, as often as needed and in memory once."""
    return torch.randint(0, 256, (1, SIDE, SIDE), dtype=torch.uint8).expand(count, -1, -1)


def _is_local(node: DictConfig) -> bool:
    target: Any = locate(node["_target_"], "logger")[0]
    return isinstance(target, type) and issubclass(target, SERVERLESS)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Nothing is printed or logged, and random numbers are put back."""
    root, silent = logging.getLogger(), logging.NullHandler()
    handlers, root.handlers = root.handlers, [silent]
    try:
        with isolate_rng(), quiet_libraries(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the training will say them
            yield
    finally:
        root.handlers = handlers
