"""What a search is told: its own settings, the space it searches, and the configuration of its trainings."""

import importlib.util
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config.call import Call, without_use
from mnist_cnn.config.compose import compose_named, compose_run, line, parse
from mnist_cnn.config.module import is_classifier
from mnist_cnn.config.place import config_dir
from mnist_cnn.config.protocol import no_validation
from mnist_cnn.config.python_values import as_override, command
from mnist_cnn.config.schema import ROOT_KEYS, find_problems
from mnist_cnn.config.tiny import is_tiny
from mnist_cnn.errors import ConfigError, RunError, nearest, without_passwords
from mnist_cnn.files import locked, require_folder, write_atomically
from mnist_cnn.runs.directory import dated
from mnist_cnn.runs.layout import CONFIG, PLAN
from mnist_cnn.sweep.plan import STUDY, Plan, read_plan
from mnist_cnn.values import Count, NotNegativeInt, PathName, Seed, fits, problem

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
    "storage": str | None,
    "space": dict,
}
# What a search keeps for the calls that go on with it: by what trials are drawn and stopped, and how much is wanted.
# The second may change. A seed is not kept: two processes with the same one would draw the same trials.
KEPT = ("sampler", "prune", "pruner", "startup_trials", "budget")
MAY_CHANGE = ("trials", "finalists", "final_seeds")


def read_settings(texts: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """The search's own settings, and the overrides for training.

    Raises:
        ConfigError: a setting out of its range, or an override that does not parse; without passwords.
    """
    try:
        return _read_settings(texts)
    except ConfigError as error:
        raise ConfigError([without_passwords(each) for each in error.problems]) from None


def _read_settings(texts: Sequence[str]) -> tuple[DictConfig, list[str]]:
    parsed = parse(texts)
    if problems := [_one_value(o) for o in parsed if o.is_sweep_override()]:
        raise ConfigError(problems)
    own = [line(o) for o in parsed if o.key_or_group.split(".")[0] in KEYS]
    folders = [line(o) for o in parsed if o.key_or_group == "hydra.searchpath"]
    spaces = Call(folders).options("space")
    chosen = [o for o in parsed if o.key_or_group == "space" and isinstance(o.value(), str)]
    if unknown := [f"{line(o)}: no such space{nearest(o.value(), spaces)}" for o in chosen if o.value() not in spaces]:
        raise ConfigError(unknown)
    settings = [*folders, *("space=none" if text == "space=null" else text for text in own)]
    cfg = compose_named("search", [f"++{text.lstrip('+')}" if text.startswith("space.") else text for text in settings])
    named = {o.key_or_group for o in parsed}
    problems = _take_over(cfg, named) if _goes_on(cfg) else []
    plain: Any = OmegaConf.to_container(cfg)
    problems += [wrong for key, hint in KEYS.items() if (wrong := problem(key, plain[key], hint))]
    if importlib.util.find_spec("optuna") is None:
        problems.append('optuna is not installed; pip install "mnist-cnn[search]"')
    elif fits(cfg.storage, KEYS["storage"]):
        from mnist_cnn.search.storage import lasting, storage_problem

        if wrong := storage_problem(cfg.storage):
            problems.append(wrong)
        else:
            cfg.storage = lasting(cfg.storage)
    if problems := problems or _given_and_searched(cfg, parsed):
        raise ConfigError(problems)
    if _goes_on(cfg) and not any(text.lstrip("+~").startswith("space") for text in own):
        cfg.space = None
    if is_tiny():
        cfg.trials = min(cfg.trials, 2)
    return cfg, [
        line(o) if _known(o.key_or_group) else "++" + line(o).lstrip("+") for o in parsed if line(o) not in own
    ]


def _goes_on(cfg: DictConfig) -> bool:
    return cfg.directory is not None and (Path(str(cfg.directory)) / PLAN).is_file()


def _take_over(cfg: DictConfig, named: set[str]) -> list[str]:
    """Sets what the call does not name as the search was begun; returns what it names otherwise and cannot change."""
    plan = read_plan(Path(str(cfg.directory)))
    before = {key: plan.settings[key] for key in (*KEPT, *MAY_CHANGE) if key in plan.settings}
    cfg.update({key: value for key, value in before.items() if key not in named})
    words = "{}: this search continues as it was started, with {}; leave it out, or begin another search"
    return [
        words.format(as_override(key, cfg[key]), as_override(key, before[key]))
        for key in KEPT
        if key in before and cfg[key] != before[key]
    ]


def _given_and_searched(cfg: DictConfig, parsed: Sequence[Override]) -> list[str]:
    if _goes_on(cfg):
        return []  # with a space of its own
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
    if key in KEYS:
        return f"{line(override)}: takes one value; with a comma in it, write \"{key}='...'\""
    return f"{line(override)}: several values are searched as 'space.{key}={{choices: [{values}]}}'"


def find_plan(cfg: DictConfig, overrides: list[str]) -> tuple[Path, Plan]:
    """Where a new search goes, and what it is; a search that the settings name brings its own plan."""
    space: Any = OmegaConf.to_container(cfg.space) if cfg.space is not None else None
    directory = Path(str(cfg.directory)).resolve() if cfg.directory is not None else None
    if directory is None or not (directory / PLAN).is_file():
        if directory is not None:
            require_folder(directory, RunError)
            if (directory / CONFIG).exists():
                raise ConfigError([f"directory={directory}: a training run; name another folder for the search"])
        root = Path(compose_run(overrides).cfg.run_root)
        directory = directory or dated(root / "search").resolve()
        shared = cfg.storage not in (None, "journal")  # a name that no other search has there
        study = f"{directory.name}-{uuid.uuid4().hex[:8]}" if shared else STUDY
        settings = {key: cfg[key] for key in (*KEPT, *MAY_CHANGE)}
        return directory, Plan(arguments=overrides, space=space, storage=cfg.storage, study=study, settings=settings)
    plan = read_plan(directory)
    if plan.space is None:
        raise ConfigError([f"directory={directory}: a sweep, no search; -m resume={directory} continues it"])
    if overrides and sorted(overrides) != sorted(plan.arguments):
        raise ConfigError([f"directory: this search continues as it was started: {' '.join(plan.arguments)}"])
    if space not in (None, plan.space):
        raise ConfigError([f"space: this search continues as it was started: {plan.space}; leave it out"])
    if cfg.storage not in (None, plan.storage):
        kept = f"its trials are in {plan.storage or 'a file of its own'}; leave storage out, or begin another search"
        raise ConfigError([f"storage = {cfg.storage!r}: this search continues as it was started: {kept}"])
    # Of an earlier version's search nobody knows the others: only how much is wanted is kept from now on.
    return directory, plan.model_copy(update={"settings": plan.settings | {key: cfg[key] for key in MAY_CHANGE}})


def agree(directory: Path, plan: Plan) -> Plan:
    """Writes the plan of a search; of several processes that begin it at once the first one says what it is."""
    with locked(directory):
        agreed = plan
        if (directory / PLAN).is_file():
            kept = read_plan(directory)
            if others := [
                key for key in KEPT if kept.settings.get(key, plan.settings.get(key)) != plan.settings.get(key)
            ]:
                raise ConfigError([f"{key}: another process began this search at once, otherwise" for key in others])
            wanted = {key: plan.settings[key] for key in MAY_CHANGE}
            agreed = kept.model_copy(update={"settings": kept.settings | wanted})
            if agreed == kept:
                return kept
        said = agreed.model_dump(include={"arguments", "space", "storage", "study", "settings"}, exclude_defaults=True)
        write_atomically(directory / PLAN, yaml.safe_dump(said).encode())
        return agreed


def again(directory: Path, plan: Plan, cfg: DictConfig) -> str:
    """The command that goes on with a search; what its plan keeps need not be said."""
    further = {"jobs": "auto", "sampler_seed": None}
    said = {key: cfg[key] for key in KEPT if key not in plan.settings}
    said |= {key: cfg[key] for key, default in further.items() if cfg[key] != default}
    values = {key: as_override(key, value).partition("=")[2] for key, value in said.items()}
    return command("search", directory=directory, trials=cfg.trials, **values)


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
        chosen = [f"++{as_override(key, each[turn % len(each)])}" for key, each in values.items()]
        cfg = compose_run([*overrides, *chosen]).cfg
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
