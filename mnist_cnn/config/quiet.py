"""Keeps other people's notes and warnings off the screen, where they say nothing to a user; puts everything back.

Loggers and warning filters belong to the whole process.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from pytorch_lightning.utilities.warnings import PossibleUserWarning

LIBRARIES = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")

# What they warn of and is as it should be here: the beginning of the message, and its kind.
NOTED: list[tuple[str, type[Warning]]] = [
    ("", PossibleUserWarning),  # hints about defaults
    ("`isinstance\\(treespec, LeafSpec\\)` is deprecated", FutureWarning),  # Lightning 2.6 asks PyTorch in an old way
    ("Checkpoint directory .* exists and is not empty", UserWarning),  # that of a resumed run
    ("The dirpath has changed from ", UserWarning),  # a run that was moved: `BestCheckpoint` finds its file
    ("`ModelCheckpoint\\(monitor=.*could not find the monitored key", UserWarning),  # an epoch without validation
    ("You passed in a `val_dataloader` but have no `validation_step`", UserWarning),  # the protocol of the run says it
    ("Total length of `list` across ranks is zero", UserWarning),  # a `test_dataloader` that gives []: there is no test
    ("Using padding='same' with even kernel lengths", UserWarning),  # PyTorch's copy of small images costs little
    ("You requested to overfit but enabled \\w+ dataloader shuffling", UserWarning),  # debug=overfit
]


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps Lightning's notes about defaults out of the way; all other warnings stay."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    retries = logging.getLogger("urllib3.connectionpool")  # of a tracker's server; in the end there is an error
    states = [(library.level, list(library.handlers), library.propagate) for library in loggers]
    profilers = logging.getLogger("pytorch_lightning.profilers")  # debug=profiler prints its table here
    before = profilers.level, retries.level
    profilers.setLevel(logging.INFO)
    retries.setLevel(logging.ERROR)
    for library in loggers:
        library.setLevel(logging.WARNING)
        library.handlers, library.propagate = [], True
    try:
        with warnings.catch_warnings():
            for message, category in NOTED:
                warnings.filterwarnings("ignore", message, category)
            yield
    finally:
        profilers.setLevel(before[0])
        retries.setLevel(before[1])
        for library, (level, own, propagate) in zip(loggers, states, strict=True):
            library.setLevel(level)
            library.handlers, library.propagate = own, propagate
