"""The one switch in the environment that shrinks what a command does, so that it can be tried out in seconds."""

import os

TINY = "MNIST_CNN_TINY"


def is_tiny() -> bool:
    """Whether commands are only tried out, on a few images, with figures that mean nothing."""
    return os.environ.get(TINY, "") not in ("", "0")
