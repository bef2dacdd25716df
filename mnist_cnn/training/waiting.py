"""A training's share of the processor: how many threads, and a word when others take theirs."""

import contextlib
import logging
import time
from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from mnist_cnn.report.text import counted
from mnist_cnn.runs.directory import Run
from mnist_cnn.speed.threads import choose_threads, cores

log = logging.getLogger(__name__)
SHORT, MUCH = 5.0, 0.7  # seconds of an epoch that tell nothing; share of the time that a thread works


@contextlib.contextmanager
def threads_for(cfg: DictConfig, goes_on: Run | None) -> Iterator[int]:
    """So many threads as `threads` says, or as the run that goes on began with; one process of several has its own.

    Yields:
        how many.
    """
    record, usual = goes_on.record() if goes_on else None, torch.get_num_threads()
    before = record.hardware.threads if record is not None and record.hardware is not None else None
    if cfg.threads == "auto" and (cfg.trainer.devices != 1 or cfg.trainer.get("num_nodes", 1) != 1):
        count = usual
    else:
        count = choose_threads(cfg.threads, before)
    if cfg.threads == "auto" and before is None and count < min(usual, cores()):
        log.info(f"others keep cores busy: {count} of {cores()} threads; threads={count} repeats this run")
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(usual)


class Waiting(pl.Callback):
    """Once, after an epoch on a CPU in which the threads got much less of it than they were made for."""

    def __init__(self) -> None:
        self.said = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seconds, worked = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        threads = torch.get_num_threads()
        if self.said or seconds < SHORT or worked > MUCH * seconds * threads or pl_module.device.type != "cpu":
            return
        self.said = True
        fewer = "; threads=1 would wait less" if threads > 1 else ""
        log.info(
            f"the run waits: it got {worked / seconds:.1f} cores for {counted(threads, 'thread')}, "
            f"others are busy{fewer}"
        )
