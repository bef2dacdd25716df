"""Searches for good values with Optuna: a study in a SQLite file, which resumes and which processes can share."""

import datetime
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra import compose
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.cli import user_errors
from mnist_cnn.config import find_problems
from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.files import locked, write_atomically
from mnist_cnn.jobs import Job, run_side_by_side, start_or_continue
from mnist_cnn.multirun import jobs_at_once, stop_on_sigterm
from mnist_cnn.preflight import compose_one, hydra_in_conf, line, parse
from mnist_cnn.report.sweep import JobRow, rows_of, summarize
from mnist_cnn.runs import Run
from mnist_cnn.sweeps import COMPLETED, PLAN, PRUNED, Sweep

if TYPE_CHECKING:
    import optuna

KEYS = ["trials", "jobs", "sampler", "sampler_seed", "prune", "startup_trials", "directory", "space"]
STUDY = "search"
OWNER = "process"  # that asked for a trial and tells its outcome
USAGE = """\
Searches for the values with the best validation accuracy, by Optuna.

  python -m mnist_cnn.search model=bn_dropout trials=30 'space.model.dropout={low: 0.0, high: 0.3}'
  python -m mnist_cnn.search directory=runs/search/TIME trials=60      go on, from this or another process
  python -m mnist_cnn.sweep runs/search/TIME                           the summary again
  optuna-dashboard sqlite:///runs/search/TIME/study.db                 the same in a browser

Its own settings, from conf/search.yaml: {keys}
All others are those of python -m mnist_cnn.train."""


def search(cfg: DictConfig, overrides: list[str]) -> int:
    """Runs trials until the study has `cfg.trials`; returns 0, or 1 if some failed.

    Raises:
        ConfigError: a setting, a space or a training configuration that cannot work.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directory, overrides = _directory(cfg, overrides)
    distributions = {key: _distribution(key, leaf) for key, leaf in leaves(cfg.space)}
    base = _check(overrides, distributions)
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / PLAN, yaml.safe_dump({"arguments": overrides}).encode())
    storage = f"sqlite:///{directory / 'study.db'}"
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    options = {"n_startup_trials": cfg.startup_trials, "constant_liar": True} if cfg.sampler == "tpe" else {}
    with locked(directory):  # two processes must not both make the database
        study = optuna.create_study(
            storage=storage, study_name=STUDY, direction="maximize", load_if_exists=True,
            sampler=samplers[cfg.sampler](seed=cfg.sampler_seed, **options),
        )  # fmt: skip
    at_once = jobs_at_once(base, cfg.trials, cfg.jobs)
    print(f"search: {len(study.trials)} of {cfg.trials} trials, {at_once} at once, in {directory}", flush=True)

    def job(trial_id: int, number: int, values: dict[str, Any]) -> Job:
        chosen = [f"++{key}={value}" for key, value in values.items()]
        run = Run(directory / str(number))
        return Job(start_or_continue(run, [*overrides, *chosen, "figures=false", *_pruning(cfg, storage, trial_id)]),
                   directory / f"{number}.log", number)  # fmt: skip

    def trials() -> Iterator[Job]:
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            if _abandoned(trial) and not Run(directory / str(trial.number)).busy:
                optuna.trial.Trial(study, trial._trial_id).set_user_attr(OWNER, os.getpid())
                yield job(trial._trial_id, trial.number, trial.params)
        while len(study.get_trials(deepcopy=False)) < cfg.trials:
            asked = study.ask(distributions)
            asked.set_user_attr(OWNER, os.getpid())
            yield job(asked._trial_id, asked.number, asked.params)

    failed = 0
    with stop_on_sigterm(f"python -m mnist_cnn.search directory={directory} trials={cfg.trials}"):
        for ended in run_side_by_side(trials(), at_once):
            failed += _tell(study, Sweep.load(directory), ended.job.about, ended.error)
    print(summarize(Sweep.load(directory)))
    return 1 if failed else 0


def _abandoned(trial: "optuna.trial.FrozenTrial") -> bool:
    """Whether the process that asked for an unfinished trial is gone."""
    owner = trial.user_attrs.get(OWNER)
    return owner is not None and not Path(f"/proc/{owner}").exists()


def _tell(study: "optuna.Study", sweep: Sweep, number: int, error: str | None) -> bool:
    """Passes a trial's outcome on; whether it failed."""
    import optuna

    row = next((row for row in rows_of(sweep) if row.job.number == number), None)
    state = row.progress.state if row else "failed"
    outcome = error or ""
    if row and state == COMPLETED:
        study.tell(number, row.validation)
        outcome = f"validation accuracy {row.validation:.2%}"
    else:
        pruned = optuna.trial.TrialState.PRUNED
        study.tell(number, state=pruned if state == PRUNED else optuna.trial.TrialState.FAIL)
    values = " ".join(f"{key}={value}" for key, value in study.trials[number].params.items())
    print(f"trial {number} ({values}): {state}, {outcome.removeprefix(f'{state}: ')}{_best(sweep)}", flush=True)
    return state not in (COMPLETED, PRUNED)


def _best(sweep: Sweep) -> str:
    done: list[JobRow] = [row for row in rows_of(sweep) if row.complete]
    return f"; best so far {done[0].validation:.2%} (trial {done[0].job.number})" if done else ""


def _directory(cfg: DictConfig, overrides: list[str]) -> tuple[Path, list[str]]:
    """Where a new search goes, or the one that the settings name, which then brings its own overrides."""
    if cfg.directory is None:
        return Path("runs/search", datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")).resolve(), overrides
    directory = Path(str(cfg.directory)).resolve()
    if not (directory / PLAN).is_file():
        return directory, overrides
    saved = yaml.safe_load((directory / PLAN).read_text())["arguments"]
    if overrides and sorted(overrides) != sorted(saved):
        raise ConfigError([f"directory: this search continues as it was started: {' '.join(saved)}"])
    return directory, saved


def _pruning(cfg: DictConfig, storage: str, trial_id: int) -> list[str]:
    if not cfg.prune:
        return []
    values = {"_target_": "mnist_cnn.pruning.PruneTrial", "storage": storage, "study": STUDY, "trial_id": trial_id,
              "startup_trials": cfg.startup_trials}  # fmt: skip
    return [f"++callbacks.pruning.{key}='{value}'" if isinstance(value, str) else f"++callbacks.pruning.{key}={value}"
            for key, value in values.items()]  # fmt: skip


def leaves(space: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """`optimizer.lr` and its range, for every leaf of a space.

    Raises:
        ConfigError: a leaf that is neither {low, high} nor {choices}.
    """
    tree: Any = OmegaConf.to_container(space) if isinstance(space, DictConfig) else space
    for key, node in tree.items():
        path = f"{prefix}{key}"
        if node is None:
            continue
        if not isinstance(node, dict):
            raise ConfigError([f"space.{path} = {node!r}: must be {{low, high}}, {{choices}} or a group of such"])
        if {"low", "high", "choices"} & set(node):
            yield path, node
        else:
            yield from leaves(node, f"{path}.")


def _distribution(key: str, leaf: dict[str, Any]) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    try:
        if "choices" in leaf:
            return CategoricalDistribution(leaf["choices"])
        whole = isinstance(leaf["low"], int) and isinstance(leaf["high"], int)
        return (IntDistribution if whole else FloatDistribution)(leaf["low"], leaf["high"], log=leaf.get("log", False))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError([f"space.{key} = {leaf}: must be {{low, high}} or {{choices}} ({error})"]) from None


def _check(overrides: list[str], distributions: dict[str, Any]) -> DictConfig:
    """Holds the training configuration at both ends of the space against the schema before anything runs."""
    problems: list[str] = []
    for end in (0, -1):
        values = {}
        for key, found in distributions.items():
            ends = found.choices if hasattr(found, "choices") else (found.low, found.high)
            values[key] = ends[end]
        cfg = compose_one([*overrides, *(f"++{key}={value}" for key, value in values.items())])
        problems += [problem for problem in find_problems(cfg) if problem not in problems]
    if problems:
        raise ConfigError(problems)
    return cfg


def settings(texts: list[str]) -> tuple[DictConfig, list[str]]:
    """The search's own settings, and the overrides for training.

    Raises:
        ConfigError: a setting out of its range, or an override that does not parse.
    """
    parsed = parse(texts)
    own = [line(o) for o in parsed if o.key_or_group.split(".")[0] in KEYS]
    forced = [f"++{text.lstrip('+')}" if text.startswith("space.") else text for text in own]
    with hydra_in_conf():
        cfg = compose("search", forced)
    problems = []
    if cfg.sampler not in ("tpe", "random"):
        problems.append(f"sampler = {cfg.sampler!r}: unknown{nearest(cfg.sampler, ['tpe', 'random'])}")
    for key in ("trials", "startup_trials"):
        if not isinstance(cfg[key], int) or cfg[key] < 1:
            problems.append(f"{key} = {cfg[key]!r}: must be a whole number >= 1")
    if cfg.jobs != "auto" and not (isinstance(cfg.jobs, int) and cfg.jobs >= 1):
        problems.append(f"jobs = {cfg.jobs!r}: must be auto or a whole number >= 1")
    if importlib.util.find_spec("optuna") is None:
        problems.append('optuna is not installed; pip install "mnist-cnn[search]"')
    if problems:
        raise ConfigError(problems)
    return cfg, ["++" + line(o).lstrip("+") if "." in o.key_or_group else line(o) for o in parsed if line(o) not in own]


def main() -> None:
    with user_errors():
        arguments = sys.argv[1:]
        if {"-h", "--help"} & set(arguments):
            print(USAGE.format(keys=", ".join(KEYS)))
            return
        sys.exit(search(*settings(arguments)))


if __name__ == "__main__":
    main()
