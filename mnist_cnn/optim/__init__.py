"""The optimizers and schedules that PyTorch lacks, and how those of a configuration are made for a net."""

from mnist_cnn.optim.averaging import EpochAveraging, ExponentialMovingAverage
from mnist_cnn.optim.keras_adam import KerasAdam
from mnist_cnn.optim.muon import Muon
from mnist_cnn.optim.parts import InParts, can_fuse, flattens, learning_rate
from mnist_cnn.optim.plateau import PlateausResume
from mnist_cnn.optim.schedule import RUN_LENGTHS, Schedule, spans_run
from mnist_cnn.optim.schedules import cosine_with_warmup, exponential, inverse_time, one_cycle

__all__ = [
    "RUN_LENGTHS",
    "EpochAveraging",
    "ExponentialMovingAverage",
    "InParts",
    "KerasAdam",
    "Muon",
    "PlateausResume",
    "Schedule",
    "can_fuse",
    "cosine_with_warmup",
    "exponential",
    "flattens",
    "inverse_time",
    "learning_rate",
    "one_cycle",
    "spans_run",
]
