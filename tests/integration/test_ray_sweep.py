"""What is asked of Ray, and made of its answers; a module of its name stands in (tests/cluster has a real one)."""

import sys
from pathlib import Path

import pytest

from mnist_cnn.sweep.plan import Sweep

WORDS = ["-m", "hydra/launcher=ray", "model=sequential", "trainer.max_epochs=1", "hydra.sweep.dir=s"]
STANDS_IN = """\
from types import SimpleNamespace

import ray.exceptions as exceptions

class Task:
    def __init__(self, *parts):
        self.parts = parts


asked = SimpleNamespace(init=None, remote=None, lost=[])


def init(**given):
    asked.init = given


def remote(**options):
    asked.remote = options
    return lambda function: SimpleNamespace(remote=lambda shared, job: Task(function, shared, job))


def nodes():
    return [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 4.0}}]


def put(value):
    return value


def wait(pending, num_returns, timeout):
    return pending[:1], pending[1:]


def get(task):
    function, shared, job = task.parts
    if job.number in asked.lost:
        raise exceptions.NodeDiedError
    return function(shared, job)


def shutdown():
    pass
"""
EXCEPTIONS = """\
class RayError(Exception): pass
class NodeDiedError(RayError): pass
class WorkerCrashedError(RayError): pass
"""


@pytest.fixture
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "stands_in" / "ray"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(STANDS_IN)
    (folder / "exceptions.py").write_text(EXCEPTIONS)
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(folder.parent)
    import ray

    yield ray
    for name in ("ray", "ray.exceptions"):
        sys.modules.pop(name)


@pytest.mark.slow
def test_what_a_lost_machine_ended_is_named_and_goes_on_by_resume(cli, ray, tiny_overrides, capsys):
    settings = ["hydra.launcher.ray.remote.num_cpus=2", "hydra.launcher.ray.init.namespace=mine", "threads=1"]
    ray.asked.lost = [0]
    assert cli(*WORDS, *settings, "seed=1,2", *tiny_overrides) == 1
    shown = capsys.readouterr().out
    assert "sweep: 2 jobs, 2 to run on Ray, 1 machine, 2 at once" in shown
    assert "job 0 failed: ended by the loss of its machine" in " ".join(shown.split())
    assert ray.asked.init["namespace"] == "mine"
    assert ray.asked.init["address"] is None
    assert ray.asked.remote == {"num_cpus": 2, "num_gpus": 0, "memory": None, "resources": {}, "max_retries": 100}

    ray.asked.lost = []
    assert cli("-m", "resume=s") == 0
    assert "sweep: 2 jobs, 1 to run on Ray" in capsys.readouterr().out
    sweep = Sweep.load(Path("s"))
    assert all(sweep.run(job).completed for job in sweep.jobs)


def test_a_cluster_that_does_not_answer_and_ray_that_is_not_there_are_said_in_a_line(
    cli, ray, tiny_overrides, tmp_path, monkeypatch, capsys
):
    call = [*WORDS, "seed=1,2", *tiny_overrides]
    assert cli(*call, "hydra.launcher.ray.init.address=127.0.0.1:9") == 1
    assert capsys.readouterr().err.startswith("error: hydra/launcher: no Ray answers at 127.0.0.1:9 (")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli(*call) == 2
    assert 'Ray is not installed; pip install "mnist-cnn[ray]"' in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
