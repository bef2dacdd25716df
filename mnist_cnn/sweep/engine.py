"""Who runs the jobs of a sweep: this machine, SLURM or Ray, or one of Hydra's own launchers, which gets all at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mnist_cnn.config.compose import compose_launcher

BY_TARGET: dict[str, Literal["here", "slurm", "ray"]] = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": "here",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": "slurm",
    "mnist_cnn.sweep.on_ray.run_on_ray": "ray",
}


@dataclass(frozen=True)
class Engine:
    """`settings`: all that the chosen file of conf/hydra/launcher says, with what the call changes."""

    name: Literal["here", "slurm", "ray", "hydra"]
    settings: dict[str, Any]


def engine_of(launcher: Sequence[str]) -> Engine:
    """That some words of a call name; this machine if there are none."""
    settings = compose_launcher(launcher)
    return Engine(BY_TARGET.get(str(settings.pop("_target_")), "hydra"), settings)
