"""What the tests of shared searches give, and what they ask of Optuna and of the runs at the end."""

from pathlib import Path

import optuna
import yaml

from mnist_cnn.runs.directory import Run
from mnist_cnn.search.storage import open_storage, storage_url

TRIALS, EPOCHS = 6, 40
CALL = ["model=sequential", "space.data=null", "jobs=1", "prune=false", "startup_trials=2"]


def study_of(folder: Path) -> optuna.Study:
    """As Optuna itself reads it."""
    plan = yaml.safe_load((folder / "sweep.yaml").read_text())
    storage = open_storage(storage_url(plan["storage"], folder))
    return optuna.load_study(study_name=plan.get("study", "search"), storage=storage)


def assert_none_lost_or_doubled(folder: Path, trials: int, epochs: int) -> list[int]:
    """Returns the trials that went on where a process was lost."""
    found = study_of(folder).trials
    assert [trial.number for trial in found] == list(range(trials))
    assert {trial.state for trial in found} == {optuna.trial.TrialState.COMPLETE}
    went_on = []
    for trial in found:
        run = Run(folder / str(trial.number))
        record = run.record()
        assert record is not None
        assert record.rank == trial.value
        assert run.config().optimizer.lr == trial.params["optimizer.lr"]
        assert [row["epoch"] for row in run.history()] == list(range(1, epochs + 1))
        went_on += [trial.number] * ("resumed" in run.log_file.read_text())
    assert len(list(folder.glob("*/config.yaml"))) == trials  # none was moved aside to be run again
    return went_on
