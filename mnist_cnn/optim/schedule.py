"""How a schedule of a configuration is made for an optimizer, and what Lightning must know about it."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

# Arguments that are filled in with the length of the run, counted in the schedule's interval, where they are not given.
RUN_LENGTHS = ("total_steps", "T_max")


class Schedule:
    """A scheduler factory with what Lightning must know about it.

    Args:
        factory: makes the PyTorch scheduler from the `optimizer`, and the length of the run where it asks for it (see
            `RUN_LENGTHS`). Factories among its arguments that take an `optimizer` are handed it as well.
        interval: `step` or `epoch`: when the rate changes.
        frequency: only every so many intervals.
        monitor: the figure that `ReduceLROnPlateau` follows.
    """

    def __init__(
        self, factory: Callable[..., Any], interval: str, frequency: int = 1, monitor: str = "val/loss"
    ) -> None:
        self.factory, self.interval, self.frequency, self.monitor = factory, interval, frequency, monitor

    def length(self, trainer: pl.Trainer) -> int:
        """Of the run in intervals; 0 where the schedule does not ask, for not every run knows its number of steps."""
        if not spans_run(self.factory):
            return 0
        return trainer.max_epochs or 0 if self.interval == "epoch" else int(trainer.estimated_stepping_batches)

    def build(self, optimizer: Optimizer, length: int) -> dict[str, Any]:
        """`lr_scheduler` of `LightningModule.configure_optimizers`."""
        made = _make(self.factory, optimizer, dict.fromkeys(_asked_for(self.factory), length))
        follows = {"monitor": self.monitor} if isinstance(made, ReduceLROnPlateau) else {}
        return {"scheduler": made, "interval": self.interval, "frequency": self.frequency, **follows}


def spans_run(factory: Callable[..., Any]) -> bool:
    """True where a schedule is stretched over the whole run, so that a finished run cannot be prolonged."""
    return bool(_asked_for(factory))


def _asked_for(factory: Callable[..., Any]) -> list[str]:
    known = inspect.signature(factory).parameters
    return [name for name in RUN_LENGTHS if name in known and known[name].default in (None, inspect.Parameter.empty)]


def _make(factory: Callable[..., Any], optimizer: Optimizer, filled: dict[str, int]) -> LRScheduler:
    given = factory.keywords if isinstance(factory, functools.partial) else {}
    inner = {name: _handed(value, optimizer) for name, value in given.items()}
    return factory(**{**inner, **filled, "optimizer": optimizer})


def _handed(value: Any, optimizer: Optimizer) -> Any:
    if isinstance(value, list):
        return [_handed(each, optimizer) for each in value]
    if isinstance(value, functools.partial) and "optimizer" in inspect.signature(value).parameters:
        return _make(value, optimizer, {})
    return value
