"""Who runs the jobs of a sweep, by the launcher that the words of a call name."""

import pytest

from mnist_cnn.sweep.engine import engine_of


@pytest.mark.parametrize(
    ("words", "engine"),
    [
        ([], "here"),
        (["hydra/launcher=slurm"], "slurm"),
        (["hydra/launcher=ray"], "ray"),
        (["hydra.launcher._target_=lab.SlurmLauncher"], "hydra"),  # somebody's own, of the same name
        (["hydra.launcher._target_=lab.launchers.run_on_ray"], "hydra"),
    ],
)
def test_the_launcher_tells_who_runs_the_jobs(words, engine):
    assert engine_of(words).name == engine
