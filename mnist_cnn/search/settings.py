"""What a search is told: its own settings, the space it searches, and the configuration of its trainings."""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config.call import without_use
from mnist_cnn.config.compose import compose_named, compose_run, line, parse
from mnist_cnn.config.module import is_classifier
from mnist_cnn.config.place import config_dir
from mnist_cnn.config.protocol import no_validation
from mnist_cnn.config.schema import ROOT_KEYS, find_problems
from mnist_cnn.config.tiny import is_tiny
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.files import require_folder
from mnist_cnn.runs.directory import dated
from mnist_cnn.runs.layout import CONFIG, PLAN
from mnist_cnn.sweep.plan import read_plan
from mnist_cnn.values import Count, NotNegativeInt, PathName, Seed, problem

KEYS: dict[str, Any] = {
    "trials": Count,
    "jobs": Literal["auto"] | Count,
    "sampler": Literal["tpe", "random"],
    "sampler_seed": Seed | None,
    "prune": bool,
    "startup_trials": Count,
    "pruner": Literal["median", "halving"],
    "budget": Count | None,
    "finalists": NotNegativeInt,
    "final_seeds": Count,
    "directory": PathName | None,
    "space": dict,
}


def read_settings(texts: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """The search's own settings, and the overrides for training.

    Raises:
        ConfigError: a setting out of its range, or an override that does not parse.
    """
    parsed = parse(texts)
    if problems := [_one_value(o) for o in parsed if o.is_sweep_override()]:
        raise ConfigError(problems)
    own = [line(o) for o in parsed if o.key_or_group.split(".")[0] in KEYS]
    settings = ["space=none" if text == "space=null" else text for text in own]
    cfg = compose_named("search", [f"++{text.lstrip('+')}" if text.startswith("space.") else text for text in settings])
    plain: Any = OmegaConf.to_container(cfg)
    problems = [wrong for key, hint in KEYS.items() if (wrong := problem(key, plain[key], hint))]
    if importlib.util.find_spec("optuna") is None:
        problems.append('optuna is not installed; pip install "mnist-cnn[search]"')
    if problems := problems or _given_and_searched(cfg, parsed):
        raise ConfigError(problems)
    if is_tiny():
        cfg.trials = min(cfg.trials, 2)
    return cfg, [
        line(o) if _known(o.key_or_group) else "++" + line(o).lstrip("+") for o in parsed if line(o) not in own
    ]


def _given_and_searched(cfg: DictConfig, parsed: Sequence[Override]) -> list[str]:
    if cfg.directory is not None and (Path(str(cfg.directory)) / PLAN).is_file():
        return []  # it goes on with a space of its own
    searched = {key for key, _ in leaves(cast(dict[str, Any], OmegaConf.to_container(cfg.space)))}
    words = "is searched too; leave it out, or take it from the space by space.{}=null"
    return [f"{line(o)}: {words.format(o.key_or_group)}" for o in parsed if o.key_or_group in searched]


def _known(key: str) -> bool:
    """Whether Hydra knows a key; others are added to the configuration, for the schema to say what was meant."""
    return key in ROOT_KEYS or (config_dir() / key).is_dir() or key.startswith("hydra")


def _one_value(override: Override) -> str:
    key, values = override.key_or_group, ", ".join(override.sweep_string_iterator())
    if (config_dir() / key).is_dir():
        return f"{line(override)}: a search takes one {key}"
    return f"{line(override)}: several values are searched as 'space.{key}={{choices: [{values}]}}'"


def find_directory(cfg: DictConfig, overrides: list[str]) -> tuple[Path, list[str], dict[str, Any]]:
    """Where a new search goes, with its overrides and space; a search that the settings name brings its own."""
    space: Any = OmegaConf.to_container(cfg.space)
    directory = Path(str(cfg.directory)).resolve() if cfg.directory is not None else None
    if directory is None or not (directory / PLAN).is_file():
        if directory is not None:
            require_folder(directory, RunError)
            if (directory / CONFIG).exists():
                raise ConfigError([f"directory={directory}: a training run; name another folder for the search"])
        root = Path(compose_run(overrides).cfg.run_root)
        return directory or dated(root / "search").resolve(), overrides, space
    plan = read_plan(directory)
    if plan.space is None:
        raise ConfigError([f"directory={directory}: a sweep, no search; -m resume={directory} continues it"])
    if overrides and sorted(overrides) != sorted(plan.arguments):
        raise ConfigError([f"directory: this search continues as it was started: {' '.join(plan.arguments)}"])
    return directory, plan.arguments, plan.space


def leaves(space: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """`optimizer.lr` and its range, for every leaf of a space.

    Raises:
        ConfigError: a leaf that is neither {low, high} nor {choices}.
    """
    for key, node in space.items():
        path = f"{prefix}{key}"
        if node is None:
            continue
        if not isinstance(node, dict):
            raise ConfigError([f"space.{path} = {node!r}: must be {{low, high}}, {{choices}} or a group of such"])
        if {"low", "high", "choices"} & set(node):
            yield path, {name: value for name, value in node.items() if value is not None}
        else:
            yield from leaves(node, f"{path}.")


def check_training(overrides: list[str], values: dict[str, Sequence[Any]]) -> DictConfig:
    """Holds the training configuration at the ends of every range and at every choice against the schema.

    Raises:
        ConfigError: with all that is wrong anywhere.
    """
    problems: list[str] = []
    for turn in range(max((len(each) for each in values.values()), default=1)):
        cfg = compose_run([*overrides, *(f"++{key}={each[turn % len(each)]}" for key, each in values.items())]).cfg
        problems += [found for found in find_problems(cfg, KEYS) if found not in problems]
        if OmegaConf.is_dict(cfg.model) and cfg.model.get("_target_") and not is_classifier(cfg.model):
            problems += [
                f"space.{key}: the model is a LightningModule, with an optimizer of its own; space=none begins anew"
                for key in values
                if turn == 0 and key.startswith(("optimizer.", "scheduler."))
            ]
            problems += [found for found in without_use(cfg, parse(overrides)) if turn == 0]
        if turn == 0 and (reason := no_validation(cfg)):
            problems.append(f"{reason}: a search needs validation to choose by")
    if problems:
        raise ConfigError(problems)
    return cfg
