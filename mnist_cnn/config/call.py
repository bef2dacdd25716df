"""All that one call asks for: its overrides, and every job they make, composed once and checked before any runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Glob, Override
from omegaconf import DictConfig

from mnist_cnn.config.checks import starts_processes
from mnist_cnn.config.collector import collector_paused
from mnist_cnn.config.compose import Composed, compose_run, config_dir, hydra_options, line, parse
from mnist_cnn.config.module import is_classifier, plain_node
from mnist_cnn.config.place import import_from
from mnist_cnn.config.python_values import quoted
from mnist_cnn.config.schema import GROUPS, NAMED, find_problems
from mnist_cnn.config.swept import NO_VALUES, combinations, values_of
from mnist_cnn.config.tried import forget
from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.values import PathName, problem

RECIPE = ("optimizer", "scheduler", "learning_rates")
LAUNCHER = ("hydra/launcher", "hydra.launcher")
OPEN_TO_MORE = ("hydra.launcher.additional_parameters", "hydra.launcher.ray.")  # for sbatch, and for Ray


@dataclass(frozen=True)
class CheckedJob:
    """One run of a call, with what is wrong with it.

    Args:
        overrides: as the user would write them, `--config-dir` as one of them; `forced`: as Hydra gets them.
    """

    number: int
    overrides: list[str]
    forced: list[str]
    composed: Composed
    problems: list[str]

    @property
    def cfg(self) -> DictConfig:
        return self.composed.cfg

    @property
    def name(self) -> str:
        return f"job {self.number} ({' '.join(text for text in self.overrides if not text.startswith('hydra.'))})"


class Call:
    """Overrides, and the folders that their group options come from.

    Args:
        overrides: as on the command line.
        multirun: whether they make a sweep.
        extra_dir: one more folder of configuration files.

    Raises:
        ConfigError: an override that does not parse, or several values without `multirun`.
    """

    def __init__(self, overrides: Sequence[str], multirun: bool = False, extra_dir: str | None = None) -> None:
        self.multirun = multirun
        self.texts = list(overrides)
        self.overrides = parse(self.texts)
        if not multirun and (swept := [line(o) for o in self.overrides if o.is_sweep_override()]):
            words = "several values make a sweep: python -m mnist_cnn.train -m, in Python mc.fit_many"
            raise ConfigError([f"{text}: {words}" for text in swept])
        places = [(key, self.value(key)) for key in ("hydra.run.dir", "hydra.sweep.dir", "resume")]
        empty = [wrong for key, value in places if value == "" and (wrong := problem(key, value, PathName))]
        if empty:
            raise ConfigError(empty)
        for override in self.overrides:
            if override.is_sweep_override() and override.key_or_group == "resume":
                raise ConfigError([f"{line(override)}: one at a time"])
            if override.is_sweep_override() and isinstance(override.value(), Glob):
                raise ConfigError([f"{line(override)}: {NO_VALUES}"])
        if extra_dir is not None and not Path(extra_dir).is_dir():
            raise ConfigError([f"--config-dir {extra_dir}: no such folder"])
        self.folders = [config_dir()] + ([Path(extra_dir)] if extra_dir else [])
        given = self.value("hydra.searchpath") or []  # how a sweep passes --config-dir on to its jobs
        self.folders += [Path(str(folder).removeprefix("file://")) for folder in given]
        import_from(self.folders[1:])
        if multirun and not self._unknown_options():
            self._add_swept_values()

    def value(self, key: str) -> Any:
        """What the call gives for a key; None where it says nothing."""
        found = [o.value() for o in self.overrides if o.key_or_group == key]
        return found[-1] if found else None

    def setting(self, key: str) -> Any:
        """What the call, or else conf/ and the chosen files, say of a key of the root."""
        return self._without_launcher().cfg.get(key)

    def has_launcher(self) -> bool:
        """Whether a Hydra launcher runs the sweep, on a cluster for example, and not this package."""
        return self.value("hydra/launcher") not in (None, "basic")

    def launcher(self) -> list[str]:
        """What the call says of Hydra's launcher, which starts its jobs."""
        return [self.forced(o) for o in self.overrides if o.key_or_group.startswith(LAUNCHER)]

    def check(self) -> list[CheckedJob]:
        """Composes and validates every job.

        Raises:
            ConfigError: with the problems of all jobs.
        """
        jobs = self.jobs()
        problems = [f"{job.name}: {p}" if len(jobs) > 1 else p for job in jobs for p in job.problems]
        if problems:
            raise ConfigError(problems)
        return jobs

    def jobs(self) -> list[CheckedJob]:
        """Every job of the call, composed and validated; one for a single run.

        Raises:
            ConfigError: an option that does not exist, or values that make no job.
        """
        problems = self._unknown_options()
        if problems:
            raise ConfigError(problems)
        forget()
        split = combinations(self.overrides) if self.multirun else [[line(o) for o in self.overrides]]
        with collector_paused():
            return [self._checked(number, texts) for number, texts in enumerate(split)]

    def _checked(self, number: int, texts: list[str]) -> CheckedJob:
        parsed = parse(texts)
        composed = self._compose([self.forced(o) for o in parsed])
        problems = find_problems(composed.cfg, optimizers=self.options("optimizer"))
        problems = problems or without_use(composed.cfg, parsed)
        if self.multirun and not problems and starts_processes(composed.cfg.trainer):
            problems.append("trainer: ddp does not go with --multirun, nor several devices; start each run alone")
        if self.multirun and (here := [text for text in texts if "=__main__." in text]):
            problems = [f"{text}: jobs are other processes, so the class must lie in a file" for text in here]
        own = [o for o in parsed if not o.key_or_group.startswith(("hydra.", "hydra/"))]
        asked, forced = ([way(o) for o in own] + self.searchpath() for way in (line, self.forced))
        return CheckedJob(number, asked, forced, composed, problems)

    def is_group(self, key: str) -> bool:
        return key.startswith("hydra") or any((folder / key).is_dir() for folder in self.folders)

    def forced(self, override: Override) -> str:
        """Values with `++`, so that they need not exist yet.

        Validation can then name all unknown keys, with what was meant; and Hydra takes those that it accepted, such as
        `trainer.accumulate_grad_batches`, or those that only some jobs of a sweep have.
        """
        text, key = line(override), override.key_or_group
        known = self.is_group(key) and not key.startswith(OPEN_TO_MORE)
        return text if override.is_delete() or known else "++" + text.lstrip("+")

    def _add_swept_values(self) -> None:
        """What a chosen file sweeps over (`hydra.sweeper.params`) becomes part of the call, unless the call says it.

        Hydra would run such values beside those of the call instead of giving way to them.
        """
        swept = self._without_launcher().swept
        given = {o.key_or_group for o in self.overrides}
        self.texts += [f"{key}={values}" for key, values in swept.items() if key not in given]
        self.texts += ["hydra.sweeper.params=null"] if swept else []
        self.overrides = parse(self.texts)

    def _without_launcher(self) -> Composed:
        """What the call says once for all its jobs; a resumed sweep knows itself which launcher the settings are of."""
        once = [o for o in self.overrides if not o.is_sweep_override()]
        return self._compose([self.forced(o) for o in once if not o.key_or_group.startswith((*LAUNCHER, "resume"))])

    def _compose(self, overrides: list[str]) -> Composed:
        return compose_run(overrides + self.searchpath())

    def searchpath(self) -> list[str]:
        """`--config-dir` as an override."""
        extra = ",".join(quoted(f"file://{folder.resolve()}") for folder in self.folders[1:])
        return [f"hydra.searchpath=[{extra}]"] if extra else []

    def options(self, group: str) -> list[str]:
        """Names of the files of a group, in all folders."""
        roots = [folder / group for folder in self.folders]
        files = [(file, root) for root in roots if root.is_dir() for file in root.rglob("*.yaml")]
        return sorted({file.relative_to(root).with_suffix("").as_posix() for file, root in files})

    def _unknown_options(self) -> list[str]:
        problems = []
        for override in self.overrides:
            group = override.key_or_group
            plugins = hydra_options(group) if group.startswith("hydra/") else []
            if override.is_delete() or not (plugins or self.is_group(group)) or group.startswith("hydra."):
                continue
            options = plugins or self.options(group)
            if override.value() is None:
                named = nearest("", options) if group in GROUPS or "none" in options else "; leave it out"
                problems.append(f"{line(override)}: no such {group}{named}")
                continue
            chosen: Any = values_of(override) if override.is_discrete_sweep() else [override.value()]
            if isinstance(several := override.value(), list) and group in GROUPS and group not in NAMED:
                problems.append(
                    f"{line(override)}: one at a time; a sweep takes several: -m {group}={','.join(map(str, several))}"
                )
                continue
            names = [name for choice in chosen for name in (choice if isinstance(choice, list) else [choice])]
            problems += [
                f"{group}={name}: no such {group}{nearest(name, options)}" for name in names if str(name) not in options
            ]
        return problems


def without_use(cfg: DictConfig, overrides: Sequence[Override]) -> list[str]:
    """What a call says of our optimizer and schedule, where the model is somebody's own module and has others."""
    if is_classifier(plain_node(cfg.model)):
        return []
    ours = [o for o in overrides if o.key_or_group.partition(".")[0] in RECIPE and not o.is_delete()]
    return [f"{line(o)}: the model is a LightningModule, which makes its own optimizers and schedules" for o in ours]
