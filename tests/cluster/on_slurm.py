"""What the tests ask SLURM, the commands that they give, and what a run leaves."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from mnist_cnn.runs.directory import Run
from mnist_cnn.sweep.plan import Sweep

SCRIPT = Path(__file__).parents[2] / "scripts" / "local_slurm.sh"


class Slurm:
    """A SLURM of two nodes, and a folder in which commands of the package are given."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def ask(self, *words: str) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def states(self) -> dict[str, str]:
        """Of all jobs that it remembers."""
        lines = self.ask("squeue", "--states=all", "--array", "--noheader", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def node_of(self, job: str) -> str:
        return self.ask("squeue", "--noheader", f"--jobs={job}", "--format=%N")

    def restarts_of(self, job: str) -> int:
        return int(self.ask("scontrol", "show", "job", job).partition("Restarts=")[2].split()[0])

    def lives_of(self, jobs: list[str]) -> list[tuple[float, float]]:
        """When each that has ended began and ended, to the second."""
        lines = self.ask("squeue", "--states=all", "--array", "--noheader", "--format=%i %S %e").splitlines()
        times = {job: (start, end) for job, start, end in map(str.split, lines)}
        return [tuple(datetime.fromisoformat(time).timestamp() for time in times[job]) for job in jobs]

    def hurry(self) -> None:
        """What was put back into the queue waits there for two minutes; not in a test."""
        lines = self.ask("squeue", "--array", "--noheader", "--states=PENDING", "--format=%i|%r").splitlines()
        for job, reason in (line.split("|") for line in lines):
            if reason == "BeginTime":
                self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 300, hurry: bool = True) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}: {self.states()}"
            if hurry:
                self.hurry()
            time.sleep(0.5)

    def script(self, *words: str) -> None:
        self.ask(str(SCRIPT), *words)


class Commands:
    """Commands of the package, given in one folder."""

    def __init__(self, folder: Path, environment: dict[str, str], overrides: list[str]) -> None:
        self.folder, self.environment, self.overrides = folder, environment, overrides

    def start(self, *arguments: str, module: str = "mnist_cnn.train") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *arguments: str, module: str = "mnist_cnn.train", code: int = 0) -> str:
        """All that it printed."""
        process = self.start(*arguments, module=module)
        output, _ = process.communicate(timeout=500)
        assert process.returncode == code, output
        return output

    def go(self) -> None:
        """Opens the gate at which the trainings wait."""
        (self.folder / "go").touch()

    def submit(self, name: str, *arguments: str) -> Sweep:
        """A sweep that goes on by itself."""
        self.run("-m", "hydra/launcher=slurm", f"hydra.sweep.dir={name}", "detach=true", *self.overrides, *arguments)
        return Sweep.load(self.folder / name)


def left_by(run: Run) -> dict[str, Any]:
    """All that two trainings share if they are the same bit for bit."""
    record = run.record()
    assert record is not None
    assert record.completed, record
    weights = torch.load(run.checkpoint("last"), weights_only=True)["state_dict"]
    rows = [{k: v for k, v in row.items() if k not in ("train_seconds", "seconds")} for row in run.history()]
    return {
        "outcome": record.outcome,
        "rows": rows,
        "weights": {name: values.numpy().tobytes() for name, values in weights.items()},
    }


def ids_of(sweep: Sweep) -> list[str]:
    found = json.loads((sweep.path / "slurm.json").read_text())
    return [found[str(job.number)] for job in sweep.jobs]


def epochs_of(sweep: Sweep, number: int) -> int:
    return len(sweep.run(sweep.jobs[number]).history())


def complete(sweep: Sweep) -> bool:
    return all(sweep.run(job).completed for job in sweep.jobs)


def printed_by(sweep: Sweep, number: int) -> str:
    return (sweep.path / f"{number}.log").read_text()
