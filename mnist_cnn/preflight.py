"""Composes every job of a call and checks it before Hydra runs the first one."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config import find_problems
from mnist_cnn.errors import ConfigError, nearest

PACKAGE = Path(__file__).parent


def config_dir() -> Path:
    """The wheel carries conf/ inside the package; a checkout has it beside the package."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


@dataclass(frozen=True)
class CheckedJob:
    """One run of a call, with what is wrong with it.

    Args:
        overrides: as the user would write them; `forced`: as Hydra gets them.
    """

    number: int
    overrides: list[str]
    forced: list[str]
    cfg: DictConfig
    problems: list[str]

    @property
    def name(self) -> str:
        return f"job {self.number} ({' '.join(self.overrides)})"


class Call:
    """One command line: its overrides, and the folders that their group options come from.

    Args:
        arguments: what Hydra's own argument parser makes of the command line.

    Raises:
        ConfigError: an override that does not parse.
    """

    def __init__(self, arguments: Any) -> None:
        self.multirun = bool(arguments.multirun)
        self.folders = [config_dir()] + ([Path(arguments.config_dir)] if arguments.config_dir else [])
        self.texts: list[str] = list(arguments.overrides)
        self.overrides = parse(self.texts)
        given = self.value("hydra.searchpath") or []  # how a sweep passes --config-dir on to its jobs
        self.folders += [Path(str(folder).removeprefix("file://")) for folder in given]
        if self.multirun and not self._unknown_options():
            self._add_swept_values()

    def value(self, key: str) -> Any:
        found = [o.value() for o in self.overrides if o.key_or_group == key]
        return found[-1] if found else None

    def has_launcher(self) -> bool:
        """Whether a Hydra launcher runs the sweep, on a cluster for example, and not this package."""
        return self.value("hydra/launcher") not in (None, "basic")

    def check(self) -> list[DictConfig]:
        """Composes and validates every job.

        Raises:
            ConfigError: with the problems of all jobs.
        """
        jobs = self.jobs()
        problems = [f"{job.name}: {p}" if len(jobs) > 1 else p for job in jobs for p in job.problems]
        if problems:
            raise ConfigError(problems)
        return [job.cfg for job in jobs]

    def jobs(self) -> list["CheckedJob"]:
        """Every job of the call, composed and validated; one for a single run.

        Raises:
            ConfigError: an option that does not exist.
        """
        problems = self._unknown_options()
        if problems:
            raise ConfigError(problems)
        split = [[line(o) for o in self.overrides]]
        if self.multirun:
            split = [list(job) for job in BasicSweeper.split_arguments(self.overrides, None)[0]]
        jobs = []
        for number, texts in enumerate(split):
            parsed = parse(texts)
            cfg = self._compose([self.forced(o) for o in parsed])
            problems = find_problems(cfg)
            if self.multirun and str(cfg.trainer.get("strategy")).startswith("ddp"):
                problems.append("trainer.strategy: ddp does not go with --multirun; start each run alone")
            own = [o for o in parsed if not o.key_or_group.startswith("hydra.")]
            forced = [self.forced(o) for o in own] + self._searchpath()
            jobs.append(CheckedJob(number, [line(o) for o in own], forced, cfg, problems))
        return jobs

    def is_group(self, key: str) -> bool:
        return key.startswith("hydra") or any((folder / key).is_dir() for folder in self.folders)

    def forced(self, override: Override) -> str:
        """Values with `++`, so that they need not exist yet.

        Validation can then name all unknown keys, with what was meant; and Hydra takes those that it accepted, such as
        `trainer.accumulate_grad_batches`, or those that only some jobs of a sweep have.
        """
        text = line(override)
        return text if override.is_delete() or self.is_group(override.key_or_group) else "++" + text.lstrip("+")

    def _add_swept_values(self) -> None:
        """What a chosen file sweeps over (`hydra.sweeper.params`) becomes part of the call, unless the call says it.

        Hydra would run such values beside those of the call instead of giving way to them.
        """
        fixed = [self.forced(o) for o in self.overrides if not o.is_sweep_override()]
        params = self._compose(fixed, return_hydra_config=True).hydra.sweeper.params or {}
        given = {o.key_or_group for o in self.overrides}
        self.texts += [f"{key}={values}" for key, values in params.items() if key not in given]
        self.texts += ["hydra.sweeper.params=null"] if params else []
        self.overrides = parse(self.texts)

    def _compose(self, overrides: list[str], return_hydra_config: bool = False) -> DictConfig:
        return compose_one(overrides + self._searchpath(), return_hydra_config)

    def _searchpath(self) -> list[str]:
        """`--config-dir` as an override."""
        extra = ",".join(f"file://{folder.resolve()}" for folder in self.folders[1:])
        return [f"hydra.searchpath=[{extra}]"] if extra else []

    def _unknown_options(self) -> list[str]:
        problems = []
        for override in self.overrides:
            group = override.key_or_group
            if override.is_delete() or group.startswith("hydra") or not self.is_group(group):
                continue
            roots = [folder / group for folder in self.folders]
            files = [(file, root) for root in roots if root.is_dir() for file in root.rglob("*.yaml")]
            options = sorted({str(file.relative_to(root).with_suffix("")) for file, root in files})
            chosen: Any = [override.value()]
            if override.is_sweep_override():
                chosen = override.sweep_string_iterator()
            for choice in chosen:
                for name in choice if isinstance(choice, list) else [choice]:
                    if name is not None and str(name) not in options:
                        problems.append(f"{group}={name}: no such {group}{nearest(name, options)}")
        return problems


def compose_one(overrides: list[str], return_hydra_config: bool = False) -> DictConfig:
    """The configuration of one run, not validated."""
    with hydra_in_conf():
        cfg = compose("train", overrides, return_hydra_config=return_hydra_config)
    OmegaConf.set_struct(cfg, False)
    return cfg


def parse(texts: list[str]) -> list[Override]:
    problems, parsed = [], []
    for text in texts:
        try:
            parsed += OverridesParser.create().parse_overrides([text])
        except HydraException as error:
            problems.append(f"{text!r}: not a valid override ({str(error).splitlines()[0]})")
    if problems:
        raise ConfigError(problems)
    return parsed


def line(override: Override) -> str:
    return override.input_line or ""


@contextlib.contextmanager
def hydra_in_conf() -> Iterator[None]:
    """Lets `compose` find the package's configuration."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir().resolve()), version_base="1.3"):
        yield
