"""The trials of a search in Optuna's database, which several processes can share and which outlives them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.files import is_locked, locked, require_file
from mnist_cnn.runs.directory import Run

STUDY = "search"
DATABASE = "study.db"
TOO_LARGE = "trained parameters above the budget"
OWNER = "process"  # that asked for a trial and tells its outcome


class Trials:
    """A study on disk.

    Args:
        sampler: `tpe` or `random`; `startup_trials` random ones come before tpe begins.
    """

    def __init__(self, directory: Path, sampler: str, sampler_seed: int | None, startup_trials: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.directory, self.own = directory, uuid.uuid4().hex
        self.url = f"sqlite:///{directory / DATABASE}"
        with locked(directory), _readable(directory / DATABASE):  # two processes must not both make the database
            self.storage = optuna.storages.RDBStorage(self.url)
            self.study = optuna.create_study(
                storage=self.storage, study_name=STUDY, direction="maximize", load_if_exists=True
            )
            found = self.study.trials
        # a search that goes on must not draw its first values again
        seed = None if sampler_seed is None else sampler_seed + len(found)
        if sampler == "tpe":
            self.study.sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=startup_trials, constant_liar=True
            )
        else:
            self.study.sampler = optuna.samplers.RandomSampler(seed=seed)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """The trials that are asked for meanwhile belong to this process, whose life a lock shows to others."""
        try:
            with FileLock(self._lock_of(self.own)):
                yield
        finally:
            self._lock_of(self.own).unlink(missing_ok=True)

    def __len__(self) -> int:
        """Trials that ran, run or wait to; those of too large nets are none."""
        return sum(TOO_LARGE not in trial.user_attrs for trial in self.study.get_trials(deepcopy=False))

    def reject(self, number: int, parameters: int) -> None:
        """A trial whose net is too large ends before it begins; the sampler learns nothing from it."""
        self.storage.set_trial_user_attr(self.trial_id(number), TOO_LARGE, parameters)
        self.study.tell(number, state=TrialState.FAIL)

    def best(self, count: int) -> list[tuple[int, dict[str, Any]]]:
        """Numbers and values of the best complete trials, each setting once, the best first."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ordered = sorted(complete, key=lambda trial: -(trial.value or 0.0))
        once = {str(sorted(trial.params.items())): trial for trial in reversed(ordered)}
        return [(trial.number, trial.params) for trial in reversed(once.values())][:count]

    def to_run(self, count: int, distributions: dict[str, BaseDistribution]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and values of trials that a killed process left, then of new ones until there are `count`."""
        with locked(self.directory):
            running = self.study.get_trials(states=(TrialState.RUNNING,))
            adopted = [trial for trial in running if self._gone(trial.user_attrs.get(OWNER))]
            for trial in adopted:
                self.storage.set_trial_user_attr(self.trial_id(trial.number), OWNER, self.own)
        for trial in adopted:
            if not Run(self.directory / str(trial.number)).busy:
                yield trial.number, trial.params
        while len(self) < count:
            with locked(self.directory):
                asked = self.study.ask(distributions)
                asked.set_user_attr(OWNER, self.own)
            yield asked.number, asked.params

    def trial_id(self, number: int) -> int:
        """The database's own number of a trial."""
        study = self.storage.get_study_id_from_name(STUDY)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)

    def tell(self, number: int, killed: bool = False) -> bool:
        """Passes a trial's outcome on; whether it failed. One that was killed is left to the next call to take up."""
        if killed:
            self.storage.set_trial_user_attr(self.trial_id(number), OWNER, None)
            return True
        record = Run(self.directory / str(number)).record()
        if record is not None and record.completed:
            self.study.tell(number, record.rank, skip_if_finished=True)
            return False
        pruned = record is not None and record.status == "pruned"
        self.study.tell(number, state=TrialState.PRUNED if pruned else TrialState.FAIL, skip_if_finished=True)
        return not pruned

    def _gone(self, owner: str | None) -> bool:
        """Whether the process that asked for an unfinished trial has ended; one without a name was killed asking."""
        return owner is None or not is_locked(self._lock_of(owner))

    def _lock_of(self, owner: str) -> Path:
        return self.directory / f".owner-{owner}"


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Raises RunError where the database of a search is something else, or damaged."""
    if file.exists():
        require_file(file, RunError)
    try:
        yield
    except (SQLAlchemyError, OptunaError, LookupError, ValueError, RuntimeError, AssertionError) as error:
        words = str(error.__cause__ or error).splitlines()[0]
        raise RunError(f"{file}: not the study of a search ({words}); put back a copy, or begin a new one") from error


def distribution(key: str, leaf: dict[str, Any]) -> BaseDistribution:
    """What a leaf of a space says, as Optuna has it.

    Raises:
        ConfigError: a range that is none.
    """
    try:
        if set(leaf) == {"choices"}:
            return CategoricalDistribution(leaf["choices"])
        if not {"low", "high"} <= set(leaf) <= {"low", "high", "log"}:
            raise ValueError(f"what else stands there goes by a null, such as space.{key}.{_other(leaf)}=null")
        if any(isinstance(leaf[end], bool) for end in ("low", "high")) or not isinstance(leaf.get("log", False), bool):
            raise ValueError("low and high are numbers, log is true or false")
        whole = isinstance(leaf["low"], int) and isinstance(leaf["high"], int)
        return (IntDistribution if whole else FloatDistribution)(leaf["low"], leaf["high"], log=leaf.get("log", False))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            [f"space.{key} = {leaf}: must be {{low, high}}, perhaps log, or {{choices}} ({error})"]
        ) from None


def _other(leaf: dict[str, Any]) -> str:
    """A key that does not go with the rest, the values of the file rather than those of the call."""
    return next(name for name in leaf if name not in ("low", "high", "log") or "choices" in leaf)


def ends(found: BaseDistribution) -> tuple[Any, ...]:
    """Both ends of a range, or every choice."""
    if isinstance(found, CategoricalDistribution):
        return found.choices
    assert isinstance(found, IntDistribution | FloatDistribution)
    return found.low, found.high
