"""Searches for good values with Optuna: a study in a SQLite file, which resumes and which processes can share."""

import datetime
import fcntl
import importlib.util
import sys
import uuid
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
    directory, overrides, space = _directory(cfg, overrides)
    distributions = {key: _distribution(key, leaf) for key, leaf in leaves(space)}
    base = _check(overrides, distributions)
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / PLAN, yaml.safe_dump({"arguments": overrides, "space": space}).encode())
    storage = f"sqlite:///{directory / 'study.db'}"
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    options = {"n_startup_trials": cfg.startup_trials, "constant_liar": True} if cfg.sampler == "tpe" else {}
    with locked(directory):  # two processes must not both make the database
        study = optuna.create_study(storage=storage, study_name=STUDY, direction="maximize", load_if_exists=True)
    # a search that goes on must not draw its first values again
    seed = None if cfg.sampler_seed is None else cfg.sampler_seed + len(study.trials)
    study.sampler = samplers[cfg.sampler](seed=seed, **options)
    at_once = jobs_at_once(base, cfg.trials, cfg.jobs)
    print(f"search: {len(study.trials)} of {cfg.trials} trials, {at_once} at once, in {directory}", flush=True)

    def job(trial_id: int, number: int, values: dict[str, Any]) -> Job:
        chosen = [f"++{key}={value}" for key, value in values.items()]
        run = Run(directory / str(number))
        return Job(start_or_continue(run, [*overrides, *chosen, "figures=false", *_pruning(cfg, storage, trial_id)]),
                   directory / f"{number}.log", number)  # fmt: skip

    def trials() -> Iterator[Job]:
        with locked(directory):
            adopted = [trial for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
                       if owners.gone(trial.user_attrs.get(OWNER))]  # fmt: skip
            for trial in adopted:
                optuna.trial.Trial(study, trial._trial_id).set_user_attr(OWNER, owners.own)
        for trial in adopted:
            if not Run(directory / str(trial.number)).busy:
                yield job(trial._trial_id, trial.number, trial.params)
        while len(study.get_trials(deepcopy=False)) < cfg.trials:
            with locked(directory):
                asked = study.ask(distributions)
                asked.set_user_attr(OWNER, owners.own)
            yield job(asked._trial_id, asked.number, asked.params)

    failed = 0
    with (
        Owners(directory) as owners,
        stop_on_sigterm(f"python -m mnist_cnn.search directory={directory} trials={cfg.trials}"),
    ):
        for ended in run_side_by_side(trials(), at_once):
            failed += _tell(study, Sweep.load(directory), ended.job.about, ended.error)
    print(summarize(Sweep.load(directory)))
    return 1 if failed else 0


class Owners:
    """Which processes on this search are alive: each holds a lock on a file of its own, whatever its number."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.own = directory, uuid.uuid4().hex

    def __enter__(self) -> "Owners":
        self.file = self._path(self.own).open("w")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        self._path(self.own).unlink()
        self.file.close()

    def gone(self, owner: str | None) -> bool:
        """Whether the process that asked for an unfinished trial has ended; one without a name was killed asking."""
        if owner is None or not self._path(owner).exists():
            return True
        with self._path(owner).open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def _path(self, owner: str) -> Path:
        return self.directory / f".owner-{owner}"


def _tell(study: "optuna.Study", sweep: Sweep, number: int, error: str | None) -> bool:
    """Passes a trial's outcome on; whether it failed."""
    import optuna

    row = next((row for row in rows_of(sweep) if row.job.number == number), None)
    state = row.progress.state if row else "failed"
    outcome = error or ""
    if row and state == COMPLETED:
        study.tell(number, row.validation, skip_if_finished=True)
        outcome = f"validation accuracy {row.validation:.2%}"
    else:
        pruned = optuna.trial.TrialState.PRUNED
        told = pruned if state == PRUNED else optuna.trial.TrialState.FAIL
        study.tell(number, state=told, skip_if_finished=True)
    values = " ".join(f"{key}={value}" for key, value in study.trials[number].params.items())
    print(f"trial {number} ({values}): {state}, {outcome.removeprefix(f'{state}: ')}{_best(sweep)}", flush=True)
    return state not in (COMPLETED, PRUNED)


def _best(sweep: Sweep) -> str:
    done: list[JobRow] = [row for row in rows_of(sweep) if row.complete]
    return f"; best so far {done[0].validation:.2%} (trial {done[0].job.number})" if done else ""


def _directory(cfg: DictConfig, overrides: list[str]) -> tuple[Path, list[str], dict[str, Any]]:
    """Where a new search goes, with its overrides and space; a search that the settings name brings its own."""
    space: Any = OmegaConf.to_container(cfg.space)
    if cfg.directory is None:
        root = [value for text in overrides for key, _, value in [text.partition("=")] if key == "run_root"]
        name = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
        return Path(root[-1] if root else "runs", "search", name).resolve(), overrides, space
    directory = Path(str(cfg.directory)).resolve()
    if not (directory / PLAN).is_file():
        return directory, overrides, space
    saved = yaml.safe_load((directory / PLAN).read_text())
    if overrides and sorted(overrides) != sorted(saved["arguments"]):
        raise ConfigError([f"directory: this search continues as it was started: {' '.join(saved['arguments'])}"])
    return directory, saved["arguments"], saved["space"]


def _pruning(cfg: DictConfig, storage: str, trial_id: int) -> list[str]:
    if not cfg.prune:
        return []
    values = {"_target_": "mnist_cnn.pruning.PruneTrial", "storage": storage, "study": STUDY, "trial_id": trial_id,
              "startup_trials": cfg.startup_trials}  # fmt: skip
    return [f"++callbacks.pruning.{key}='{value}'" if isinstance(value, str) else f"++callbacks.pruning.{key}={value}"
            for key, value in values.items()]  # fmt: skip


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
            yield path, node
        else:
            yield from leaves(node, f"{path}.")


def _distribution(key: str, leaf: dict[str, Any]) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    try:
        if set(leaf) == {"choices"}:
            return CategoricalDistribution(leaf["choices"])
        if not {"low", "high"} <= set(leaf) <= {"low", "high", "log"}:
            raise ValueError("no other keys")
        whole = isinstance(leaf["low"], int) and isinstance(leaf["high"], int)
        return (IntDistribution if whole else FloatDistribution)(leaf["low"], leaf["high"], log=leaf.get("log", False))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            [f"space.{key} = {leaf}: must be {{low, high}}, perhaps log, or {{choices}} ({error})"]
        ) from None


def _check(overrides: list[str], distributions: dict[str, Any]) -> DictConfig:
    """Holds the training configuration at the ends of every range and at every choice against the schema."""
    values = {key: found.choices if hasattr(found, "choices") else (found.low, found.high)
              for key, found in distributions.items()}  # fmt: skip
    problems: list[str] = []
    for turn in range(max((len(each) for each in values.values()), default=1)):
        cfg = compose_one([*overrides, *(f"++{key}={each[turn % len(each)]}" for key, each in values.items())])
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
