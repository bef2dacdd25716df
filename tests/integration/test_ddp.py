"""Several processes of one training (Lightning DDP), on CPUs over gloo."""

import subprocess
import sys

import pytest
from conftest import metrics_of

from mnist_cnn.runs.directory import Run

TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=16"]


@pytest.mark.slow
def test_two_processes_give_the_metrics_of_one_and_resume(cli, tiny_overrides, tmp_path):
    """Half the batch each: the same images in every step, so the same gradient up to rounding. 240 is no multiple of
    the batch, and 79 validation and 99 test images do not divide by two: none may be counted twice or dropped."""

    def start(*arguments: str) -> str:
        command = [sys.executable, "-m", "mnist_cnn.train", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    common = ["model=vanilla", "trainer.max_epochs=3", "optimizer.lr=0.1", "test_weights=last", *tiny_overrides,
              "metrics=[f1,per_class,calibration]", "data.limit_val=79", "data.limit_test=99",
              "data.limit_train=236"]  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli(*common, "data.batch_size=32", f"hydra.run.dir={one}") == 0
    printed = start(*common, *TWO, f"hydra.run.dir={two}")
    assert printed.count("test (last weights") == 1  # one process speaks
    alone, together = metrics_of(Run(one)), metrics_of(Run(two))
    assert together["figures"] == pytest.approx(alone["figures"], rel=1e-5)
    assert sum(map(sum, together["confusion"])) == 99
    assert together["confusion"] == alone["confusion"]

    start(f"resume={two}", "trainer.max_epochs=4")
    assert cli(f"resume={one}", "trainer.max_epochs=4") == 0
    alone, together = metrics_of(Run(one)), metrics_of(Run(two))
    assert together["epochs"] == 4
    assert together["figures"] == pytest.approx(alone["figures"], rel=1e-3)  # the loss falls fast here
    hits = together["figures"]["test/acc"] * 99  # whole, unless some image counted twice
    assert hits == pytest.approx(round(hits), abs=1e-4)


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_a_run_that_has_a_name(tiny_overrides, tmp_path):
    call = ["--standalone", "--nproc-per-node=2", "-m", "mnist_cnn.train", "model=sequential", "trainer.max_epochs=1"]

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torch.distributed.run", *call, *tiny_overrides, *TWO, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    refused = start()
    assert refused.returncode != 0
    assert "name its directory, hydra.run.dir=" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    done = start("hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert metrics_of(Run(tmp_path / "run"))["status"] == "completed"
