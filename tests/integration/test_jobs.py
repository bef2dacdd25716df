"""What a job of a sweep refuses, whatever its files say."""

import pytest

from mnist_cnn.config.compose import compose_run
from mnist_cnn.runs.directory import Run
from mnist_cnn.sweep.jobs import Job, run_side_by_side
from mnist_cnn.train import train


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("trainer", {"max_epoch": 3}, "did you mean 'trainer.max_epochs'"),
        ("logger", {"other": {"_target_": "shutil.copyfile"}}, "must be a Logger"),
    ],
)
def test_a_configuration_changed_since_it_was_planned_is_refused_and_calls_nothing(tmp_path, key, value, words):
    cfg = compose_run(["model=sequential"]).cfg
    cfg[key].update(value)
    [ended] = run_side_by_side([Job(cfg, Run(tmp_path / "0"), [], tmp_path / "0.log")], train, 1)
    assert words in ended.error
    assert not (tmp_path / "0").exists()
