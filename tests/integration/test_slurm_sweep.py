"""What is asked of SLURM, and made of its answers; programs of its names stand in (tests/cluster has a real one)."""

import json
import os
from pathlib import Path

import pytest

import mnist_cnn.sweep.__main__ as sweep_entry
from mnist_cnn.sweep.plan import Sweep
from mnist_cnn.sweep.slurm import why_ended

FAST = ["model=sequential", "trainer.max_epochs=1"]
PROGRAMS = {
    "srun": "exit 1",
    "sbatch": 'echo "Submitted batch job $(ls submitted | wc -l)"; cp "$1" submitted/$(ls submitted | wc -l)',
    "squeue": 'cat queue; [ -s queue ] || { echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; }',
    "scontrol": 'echo "MaxArraySize            = 3"',
    "sacct": "exit 1",
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the call, where `queue` is what squeue says and `submitted` has what sbatch got."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "submitted").mkdir()
    (tmp_path / "queue").touch()
    for name, line in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_a_sweep_is_put_into_the_queue_once_and_what_was_lost_again(cli, programs, tiny_overrides, capsys):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = ["hydra/launcher=slurm", "hydra.launcher.partition=night", "hydra.sweep.dir=s", "detach=true"]
    assert cli("-m", *words, *FAST, "seed=range(1,6)", *tiny_overrides) == 0
    assert "5 put into the queue of SLURM (0, 1)" in capsys.readouterr().out
    ids = programs / "s" / "slurm.json"
    assert json.loads(ids.read_text()) == {"0": "0_0", "1": "0_1", "2": "0_2", "3": "1_0", "4": "1_1"}
    script = (programs / "submitted" / "0").read_text()
    assert "#SBATCH --partition=night" in script
    assert "#SBATCH --requeue" in script

    states = ["0_0|RUNNING|None|a", "0_1|PENDING|Resources|", "0_2|CANCELLED|None|a", "1_0|TIMEOUT|None|b"]
    (programs / "queue").write_text("\n".join([*states, "1_1|FAILED|None|b\n"]))
    (programs / "s" / ".submitit" / "1_1_0_log.err").write_text("Exceeded job memory limit\n")
    assert cli("s", main=sweep_entry.main) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 running and 1 waiting on SLURM" in shown
    for number, words in ((2, "scancel"), (3, "its time limit"), (4, "its memory")):
        assert f"job {number} failed: ended by {words}" in shown
    assert cli("-m", "resume=s", "hydra/launcher=basic") == 2
    assert "SLURM has 2 of its jobs" in capsys.readouterr().err
    assert cli("-m", "resume=s", "hydra.launcher.timeout_min=5", "detach=true") == 0
    assert json.loads(ids.read_text()) == {"0": "0_0", "1": "0_1", "2": "2_0", "3": "2_1", "4": "2_2"}
    script = (programs / "submitted" / "2").read_text()
    assert "#SBATCH --partition=night" in script
    assert "#SBATCH --time=5" in script
    assert [Sweep.load(programs / "s").noted_error(job) for job in Sweep.load(programs / "s").jobs] == [None] * 5


def test_only_slurm_detaches(cli, tiny_overrides, capsys):
    assert cli("-m", "detach=true", *FAST, "seed=1,2", *tiny_overrides) == 2
    assert "detach=true: only SLURM goes on alone (hydra/launcher=slurm)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "messages", "why"),
    [
        ("TIMEOUT", "", "its time limit"),
        ("", "error: *** JOB 7 ON a CANCELLED AT 2026-11-26T14:00:00 DUE TO TIME LIMIT ***", "its time limit"),
        (
            "",
            "*** STEP 7.0 ON a CANCELLED AT 2026-11-26T14:00:00 DUE TO NODE FAILURE, SEE LOG",
            "the loss of",
        ),
        ("FAILED", "error: Detected 1 oom-kill event(s) in StepId=7.0", "its memory"),
        ("CANCELLED", "", "scancel"),
    ],
)
def test_why_a_job_ended_is_known_with_and_without_accounting(state, messages, why):
    assert str(why_ended(state, messages)).startswith(f"ended by {why}")
    assert why_ended("FAILED", "ValueError") is None


def test_a_run_that_another_process_has_taken_over_is_left_alone(cli, tiny_overrides, tmp_path, capsys, monkeypatch):
    """As after the loss of a node whose processes live on, where its locks are not seen elsewhere."""
    (tmp_path / "thief.py").write_text(THIEF)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["model=sequential", "trainer.max_epochs=4", "++callbacks.thief._target_=thief.Thief", "hydra.run.dir=run"]
    assert cli(*words, *tiny_overrides) == 2
    assert "another process goes on with this run" in capsys.readouterr().err
    run = tmp_path / "run"
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + 2
    assert json.loads((run / "metrics.json").read_text())["status"] == "running"  # as the other one has it


THIEF = """\
from pathlib import Path

import pytorch_lightning as pl


class Thief(pl.Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            Path("run/.owner").write_text("another")
"""
