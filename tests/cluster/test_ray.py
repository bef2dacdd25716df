"""Sweeps on Ray: jobs lost in every way go on, and what comes out is what comes out where nothing happens."""

import platform
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from on_slurm import Commands, complete, epochs_of, left_by
from ray_cluster import CPUS, HEAD, SECOND, RayCluster, missing
from waiting import wait

from mnist_cnn.sweep.plan import Sweep

pytestmark = pytest.mark.cluster
pytest_plugins = ["cluster_fixtures"]
HERE = Path(__file__).parent
EPOCHS, BEFORE = 6, 3  # in all, and before the gate
LONG = [f"trainer.max_epochs={EPOCHS}", "++callbacks.gate._target_=gates.Gate", f"++callbacks.gate.epoch={BEFORE}"]
RAY = ["-m", "hydra/launcher=ray"]
LOSS = "ended by the loss of its machine"


@pytest.fixture(scope="module")
def ray(log: Callable[[str], None]) -> Iterator[RayCluster]:
    if reason := missing():
        pytest.skip(reason)
    from ray import __version__

    cluster = RayCluster()
    try:
        cluster.start(HEAD)
        cluster.start(SECOND)
        log(f"- Ray {__version__}, two nodes of {CPUS} CPUs on one machine; {platform.system()} {platform.machine()}")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def commands(tmp_path: Path, ray: RayCluster, tiny_overrides: list[str]) -> Commands:
    shutil.copy(HERE / "gates.py", tmp_path)
    return Commands(tmp_path, ray.environment, ["model=sequential", *tiny_overrides])


def sweep_at(commands: Commands, name: str, jobs: int) -> Sweep:
    """When all its jobs have come to the gate."""
    folder = commands.folder / name
    wait((folder / "sweep.yaml").exists, "the plan")
    sweep = Sweep.load(folder)
    wait(lambda: all(epochs_of(sweep, n) == BEFORE for n in range(jobs)), "all to come to the gate")
    return sweep


def assert_as_uninterrupted(sweep: Sweep, uninterrupted, epochs: int = EPOCHS) -> None:
    for job in sweep.jobs:
        assert left_by(sweep.run(job)) == uninterrupted(job.seed, epochs), job


def gone_on(sweep: Sweep) -> list[int]:
    """Jobs that were started again."""
    return [job.number for job in sweep.jobs if "resumed" in sweep.run(job).log_file.read_text()]


def test_a_sweep_of_eight_is_the_same_as_on_this_machine(commands, uninterrupted, log):
    output = commands.run(*RAY, *commands.overrides, "trainer.max_epochs=2", "seed=range(1,9)", "hydra.sweep.dir=eight")
    lines = output.splitlines()
    assert lines[0] == f"sweep: 8 jobs, 8 to run on Ray, 2 machines, 4 at once, in {commands.folder / 'eight'}"
    assert sum(line.startswith("job ") and ": completed" in line for line in lines) == 8
    assert_as_uninterrupted(Sweep.load(commands.folder / "eight"), uninterrupted, 2)
    log("- a sweep of eight: all complete; figures and weights as without Ray")


@pytest.mark.parametrize("retries", [100, 0])
def test_jobs_of_a_lost_node_go_on_elsewhere_or_when_the_sweep_is_resumed(commands, ray, uninterrupted, log, retries):
    """Four jobs fill both nodes."""
    words = [*RAY, *commands.overrides, *LONG, f"hydra.launcher.ray.remote.max_retries={retries}", "run_root=runs"]
    sweeping = commands.start(*words, "seed=range(1,5)", "hydra.sweep.dir=runs/multirun/lost")
    sweep = sweep_at(commands, "runs/multirun/lost", 4)
    ray.lose(SECOND)
    commands.go()
    output, _ = sweeping.communicate(timeout=200)
    if retries:
        assert sweeping.returncode == 0, output
        how = "went on by themselves on the other"
    else:
        assert sweeping.returncode == 1, output
        assert " ".join(output.split()).count(f"killed: {LOSS}") >= 2, output
        shown = commands.run(str(sweep.path), module="mnist_cnn.sweep")
        assert shown.count(f"killed: {LOSS}") == 2
        commands.run("-m", "resume=auto")
        how = f"named as {LOSS!r}, went on with resume=auto"
    ray.start(SECOND)
    assert_as_uninterrupted(sweep, uninterrupted)
    again = gone_on(sweep)
    assert len(again) == CPUS
    log(
        f"- node killed after {BEFORE} of {EPOCHS} epochs, max_retries={retries}: its jobs {again} of 4 {how}; all "
        "complete, figures and weights as uninterrupted"
    )


def test_the_command_ends_its_jobs_however_it_ends_and_they_go_on_when_resumed(commands, uninterrupted, log):
    killed = commands.start(*RAY, *commands.overrides, *LONG, "seed=1,2", "hydra.sweep.dir=closed")
    sweep = sweep_at(commands, "closed", 2)
    killed.kill()
    killed.communicate(timeout=60)
    wait(lambda: not any(sweep.run(job).busy for job in sweep.jobs), "the end of its jobs", 60)
    for number in (signal.SIGINT, signal.SIGTERM):
        resumed = commands.start("-m", "resume=closed")
        wait(lambda: all(sweep.run(job).busy for job in sweep.jobs), "the jobs to start again")
        time.sleep(3)
        resumed.send_signal(number)
        output, _ = resumed.communicate(timeout=90)
        assert resumed.returncode == 128 + number, output
        assert f"python -m mnist_cnn.train -m resume={sweep.path}" in output
        assert not any(sweep.run(job).busy for job in sweep.jobs)
    commands.go()
    commands.run("-m", "resume=closed")
    assert_as_uninterrupted(sweep, uninterrupted)
    log("- the command killed, then Ctrl-C, then SIGTERM: its jobs ended with it; resumed each time; as uninterrupted")


def test_a_killed_training_is_named_and_goes_on_when_resumed(commands, uninterrupted, log):
    lost = ["++callbacks.lost._target_=gates.Lost", "++callbacks.lost.epoch=1", "trainer.max_epochs=4"]
    output = commands.run(*RAY, *commands.overrides, *lost, "seed=1", "hydra.sweep.dir=memory", code=1)
    assert "job 0 killed: killed by SIGKILL" in " ".join(output.split())
    commands.run("-m", "resume=memory")
    sweep = Sweep.load(commands.folder / "memory")
    assert_as_uninterrupted(sweep, uninterrupted, 4)
    log("- a training killed by SIGKILL, as for want of memory: named; resumed; as uninterrupted")


def test_the_head_of_the_cluster_is_lost_and_the_sweep_goes_on_at_another(commands, ray, uninterrupted, log):
    """The last test of this file: it leaves a cluster of one node."""
    sweeping = commands.start(*RAY, *commands.overrides, *LONG, "seed=1,2", "hydra.sweep.dir=headless")
    sweep = sweep_at(commands, "headless", 2)
    ray.lose(HEAD)
    output, _ = sweeping.communicate(timeout=200)
    assert sweeping.returncode != 0, output
    ray.lose(SECOND)
    wait(lambda: not any(sweep.run(job).busy for job in sweep.jobs), "the end of its jobs", 60)
    ray.start(HEAD)
    commands.go()
    commands.run("-m", "resume=headless")
    assert complete(sweep)
    assert_as_uninterrupted(sweep, uninterrupted)
    log("- the head killed: the command ends; resumed on a new cluster; as uninterrupted")
