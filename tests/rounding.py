"""When recorded figures can be asked for bit for bit."""

from typing import Any

import torch

from mnist_cnn.runs.environment import environment


def same_rounding(recorded: dict[str, Any]) -> bool:
    """Whether torch's version and the processor are those that a recording names, so that figures agree bit for bit."""
    here = environment(torch.device("cpu"), [])
    found = here["versions"]["torch"], torch.backends.cpu.get_cpu_capability(), here["hardware"]["cpu"]
    return found == (recorded["versions"]["torch"], recorded["cpu_capability"], recorded["cpu"])
