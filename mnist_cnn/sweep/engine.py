"""Who runs the jobs of a sweep: this machine, SLURM or Ray, or one of Hydra's own launchers, which gets all at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mnist_cnn.config.compose import compose_launcher

# By the first and the last word of a launcher's `_target_`: where Hydra keeps its own is its private affair.
BY_TARGET: dict[tuple[str, str], Literal["here", "slurm", "ray"]] = {
    ("hydra", "BasicLauncher"): "here",
    ("hydra_plugins", "SlurmLauncher"): "slurm",
    ("mnist_cnn", "run_on_ray"): "ray",
}


@dataclass(frozen=True)
class Engine:
    """`settings`: all that the chosen file of conf/hydra/launcher says, with what the call changes."""

    name: Literal["here", "slurm", "ray", "hydra"]
    settings: dict[str, Any]


def engine_of(launcher: Sequence[str]) -> Engine:
    """That some words of a call name; this machine if there are none."""
    settings = compose_launcher(launcher)
    words = str(settings.pop("_target_")).split(".")
    return Engine(BY_TARGET.get((words[0], words[-1]), "hydra"), settings)
