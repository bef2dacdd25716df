"""Keeps other people's notes and warnings off the screen, where they say nothing to a user; puts everything back.

Loggers and warning filters belong to the whole process.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from pytorch_lightning.utilities.warnings import PossibleUserWarning

LIBRARIES = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps Lightning's notes about defaults out of the way; its real warnings stay."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    states = [(library.level, list(library.handlers), library.propagate) for library in loggers]
    profilers = logging.getLogger("pytorch_lightning.profilers")  # debug=profiler prints its table here
    before = profilers.level
    profilers.setLevel(logging.INFO)
    for library in loggers:
        library.setLevel(logging.WARNING)
        library.handlers, library.propagate = [], True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            # Lightning 2.6 asks PyTorch 2.11 and newer in an old way
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
            yield
    finally:
        profilers.setLevel(before)
        for library, (level, own, propagate) in zip(loggers, states, strict=True):
            library.setLevel(level)
            library.handlers, library.propagate = own, propagate
