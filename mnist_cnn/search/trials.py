"""The trials of a search in Optuna's storage, which several processes can share and which outlives them."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from mnist_cnn.errors import ConfigError
from mnist_cnn.files import is_locked, locked
from mnist_cnn.runs.directory import Run
from mnist_cnn.search.storage import open_storage, storage_url, told
from mnist_cnn.sweep.plan import STUDY

TOO_LARGE = "trained parameters above the budget"
OWNER = "process"  # that asked for a trial and tells its outcome


class Trials:
    """A study in a storage, and the directory of its runs.

    Args:
        sampler: `tpe` or `random`; `startup_trials` random ones come before tpe begins.
        storage: as `lasting` gives it.
        study: the name in the storage.
    """

    def __init__(
        self,
        directory: Path,
        sampler: str,
        sampler_seed: int | None,
        startup_trials: int,
        storage: str | None = None,
        study: str = STUDY,
    ) -> None:
        self.directory, self.own, self.name = directory, uuid.uuid4().hex, study
        self.dropped: set[int] = set()  # killed while this process ran them: not again by the same
        self.url = storage_url(storage, directory)
        with locked(directory), told(self.url, opening=True):  # two processes must not both make the database
            self.storage = open_storage(self.url, waits=True)
            self.study = optuna.create_study(
                storage=self.storage, study_name=study, direction="maximize", load_if_exists=True
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
        once: dict[str, FrozenTrial] = {}
        for trial in ordered:
            once.setdefault(str(sorted(trial.params.items())), trial)
        return [(trial.number, trial.params) for trial in once.values()][:count]

    def to_run(self, count: int, distributions: Mapping[str, BaseDistribution]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and values of trials that killed processes left, and of new ones until there are `count`."""
        while (found := self._next(count, distributions)) is not None:
            yield found

    def left_behind(self) -> list[FrozenTrial]:
        """Unfinished trials of processes that have ended; their runs may take a moment longer to."""
        left = [each for each in self._unfinished() if self._gone(each.user_attrs.get(OWNER))]
        return [each for each in left if each.number not in self.dropped]

    def others_run(self) -> bool:
        """Whether other processes that live have trials that have not ended."""
        owners = {each.user_attrs.get(OWNER) for each in self._unfinished()}
        return any(owner != self.own and not self._gone(owner) for owner in owners)

    def _unfinished(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _next(self, count: int, distributions: Mapping[str, BaseDistribution]) -> tuple[int, dict[str, Any]] | None:
        with locked(self.directory):
            left = [trial.number for trial in self.left_behind() if not self._run(trial.number).busy]
            # A process can be killed between the end of a run and telling of it.
            ended = [number for number in left if self._has_ended(number)]
            for number in ended:
                self.tell(number)
            adopted = next((number for number in left if number not in ended), None)
            if adopted is not None:
                trial = Trial(self.study, self.trial_id(adopted))
            elif len(self) < count:
                trial = self.study.ask()
            else:
                return None
            trial.set_user_attr(OWNER, self.own)
            # Of an adopted one the values that it has, and those that a killed process had not drawn yet.
            return trial.number, {key: _value(trial, key, each) for key, each in distributions.items()}

    def trial_id(self, number: int) -> int:
        """The storage's own number of a trial."""
        study = self.storage.get_study_id_from_name(self.name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)

    def tell(self, number: int, killed: bool = False) -> bool:
        """Passes a trial's outcome on; whether it failed. One that was killed is left to another process to take up."""
        if killed:
            self.dropped.add(number)
            self.storage.set_trial_user_attr(self.trial_id(number), OWNER, None)
            return True
        record = self._run(number).record()
        if record is not None and record.completed:
            self.study.tell(number, record.rank, skip_if_finished=True)
            return False
        pruned = record is not None and record.status == "pruned"
        self.study.tell(number, state=TrialState.PRUNED if pruned else TrialState.FAIL, skip_if_finished=True)
        return not pruned

    def _run(self, number: int) -> Run:
        return Run(self.directory / str(number))

    def _has_ended(self, number: int) -> bool:
        record = self._run(number).record()
        return record is not None and (record.completed or record.status == "pruned")

    def _gone(self, owner: str | None) -> bool:
        """Whether the process that asked for an unfinished trial has ended; one without a name was killed asking."""
        return owner is None or (owner != self.own and not is_locked(self._lock_of(owner)))

    def _lock_of(self, owner: str) -> Path:
        return self.directory / f".owner-{owner}"


def _value(trial: Trial, key: str, found: BaseDistribution) -> Any:
    """Drawn, unless the trial has one."""
    if isinstance(found, CategoricalDistribution):
        return trial.suggest_categorical(key, found.choices)
    if isinstance(found, IntDistribution):
        return trial.suggest_int(key, found.low, found.high, log=found.log)
    assert isinstance(found, FloatDistribution)
    return trial.suggest_float(key, found.low, found.high, log=found.log)


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
