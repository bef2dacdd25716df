"""One logger as a tracker: told of every epoch once; one that goes away costs a warning."""

import logging
import textwrap
from collections.abc import Callable
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from mnist_cnn.signals import shielded

log = logging.getLogger(__name__)
SPARED = ("log_hyperparams", "log_graph", "save", "finalize", "after_save_checkpoint")


class Tracker:
    """A logger that keeps what it gets in an epoch, and tells it once the checkpoint of the epoch is saved.

    So an epoch that a killed process had begun, and a resumed one trains again, is told once.

    Args:
        told: epochs that it was told of by earlier processes of the run.
        note: called with a number of epochs before it is told of the last of them.
    """

    def __init__(self, name: str, logger: Logger, told: int, note: Callable[[int], None]) -> None:
        self.name, self.logger, self.told, self.note = name, logger, told, note
        self.gone = False
        self._tell = logger.log_metrics
        self._epoch: int | None = None  # that is being trained, from 1
        self._saved = False
        self._kept: dict[int | None, dict[str, float]] = {}  # by step
        for method in SPARED:
            setattr(logger, method, self.spared(getattr(logger, method)))
        logger.log_metrics = self.spared(self._take)  # type: ignore[method-assign]

    def spared(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same, whose first error is a warning, and after which nothing is told any more."""

        def spared(*given: Any, **named: Any) -> Any:
            if self.gone:
                return None
            try:
                return call(*given, **named)
            except Exception as error:
                self.gone = True
                words = textwrap.shorten(f"{type(error).__name__}: {error}", 160, placeholder=" ...")
                log.warning(f"logger.{self.name}: {words}; the run goes on without it; metrics.csv has all figures")

        return spared

    def begin(self, epoch: int) -> None:
        self.end()
        self._epoch = epoch

    def saved(self, step: int, figures: dict[str, float]) -> None:
        """The checkpoint of the epoch is saved. Lightning has the figures of training to tell yet, if there are any."""
        if self._epoch is not None:
            self._take(figures, step)
            self._saved = True

    def end(self) -> None:
        """Tells what is kept, unless it was told before, or is of half an epoch."""
        epoch, self._epoch = self._epoch, None
        if epoch is not None and self._saved and epoch > self.told and not self.gone:
            with shielded():
                self.told = epoch
                self.note(epoch)
                for step, metrics in self._kept.items():
                    self.spared(self._tell)(metrics, step)
                self.logger.save()
        self._saved = False
        self._kept.clear()

    def summarize(self, settings: dict[str, Any], figures: dict[str, float]) -> None:
        """TensorBoard's table of settings beside figures, without a further point in their curves."""
        if isinstance(self.logger, TensorBoardLogger) and figures:
            self._epoch = 0  # so that the points are kept, and then
            self.logger.log_hyperparams(settings, figures)
            self.end()

    def _take(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self._epoch is None:
            self._tell(metrics, step)
            return
        self._kept.setdefault(step, {}).update(metrics)
        if self._saved:
            self.end()


class Nobody(Logger):
    """In the place of a tracker that was away at the start, which Lightning would ask again."""

    @property
    def name(self) -> None:
        return None

    @property
    def version(self) -> None:
        return None

    def log_metrics(self, *given: Any, **named: Any) -> None:
        pass

    def log_hyperparams(self, *given: Any, **named: Any) -> None:
        pass
