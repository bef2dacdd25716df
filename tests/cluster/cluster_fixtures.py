"""A real SLURM on this machine for the tests, and the log that they leave.

No conftest.py: the tests of the folders that come after this one import theirs by that name.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from on_slurm import SCRIPT, Commands, Slurm, left_by

HERE = Path(__file__).parent
LOG = HERE.parents[1] / "results" / "cluster" / "log.md"


PASSED: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        PASSED.add(report.nodeid)


class Log:
    """Lines; written when all tests have passed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, words: str) -> None:
        print(words, flush=True)
        self.lines.append(words)


@pytest.fixture(scope="session")
def log(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    log = Log()
    yield log
    partly = request.config.getoption("-k") or shutil.which("slurmd") is None
    if len(PASSED) < request.session.testscollected or partly or not log.lines:  # interrupted, for example
        return
    version = subprocess.run(["slurmd", "-V"], capture_output=True, text=True, check=True).stdout.strip()
    head = ["# make test-cluster", "", "What the tests in `tests/cluster` saw when all of them last passed.", ""]
    system = f"{platform.system()} {platform.machine()}"
    about = ["", f"With {version}, two nodes on one machine (`scripts/local_slurm.sh`); {system}.", ""]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("\n".join([*head, *log.lines, *about]))


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    state = tmp_path_factory.mktemp("slurm") / "state"
    environment = os.environ | {"LOCAL_SLURM": str(state), "SLURM_CONF": str(state / "slurm.conf"), "COLUMNS": "200"}
    started = subprocess.run([str(SCRIPT), "start"], env=environment, capture_output=True, text=True)
    if started.returncode == 2:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    yield Slurm(environment)
    subprocess.run([str(SCRIPT), "stop"], env=environment, check=True)


@pytest.fixture
def commands(tmp_path: Path, slurm: Slurm, tiny_overrides: list[str]) -> Commands:
    shutil.copy(HERE / "gates.py", tmp_path)
    return Commands(tmp_path, slurm, ["model=sequential", *tiny_overrides])


@pytest.fixture(scope="session")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, tiny_overrides: list[str]
) -> Callable[[int, int], dict[str, Any]]:
    """What training a number of epochs with a seed leaves where nothing happens, in this process."""
    import mnist_cnn as mc

    folder = tmp_path_factory.mktemp("uninterrupted")
    known: dict[tuple[int, int], dict[str, Any]] = {}

    def of(seed: int, epochs: int) -> dict[str, Any]:
        if (seed, epochs) not in known:
            path = folder / f"{seed}_{epochs}"
            words = ["model=sequential", *tiny_overrides, f"seed={seed}", f"trainer.max_epochs={epochs}", "threads=1"]
            known[seed, epochs] = left_by(mc.fit(*words, f"hydra.run.dir={path}").run)
        return known[seed, epochs]

    return of
