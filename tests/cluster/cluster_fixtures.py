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
    """Lines of one test file; written when all its tests have passed, beside those of the other files."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, words: str) -> None:
        print(words, flush=True)
        self.lines.append(words)

    def write(self, title: str) -> None:
        written = LOG.read_text().split("\n## ")[1:] if LOG.exists() else []
        sections = dict(section.strip().split("\n\n", 1) for section in written)
        sections[title] = "\n".join(self.lines)
        head = "# make test-cluster\n\nWhat the tests in `tests/cluster` saw when all of a file last passed."
        parts = [f"## {name}\n\n{lines}" for name, lines in sorted(sections.items())]
        LOG.parent.mkdir(parents=True, exist_ok=True)
        LOG.write_text("\n\n".join([head, *parts]) + "\n")


@pytest.fixture(scope="module")
def log(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    log = Log()
    yield log
    chosen = request.config.getoption("-k") or any("::" in argument for argument in request.config.args)
    all_of_it = {item.nodeid for item in request.session.items if item.path == request.path}
    if all_of_it <= PASSED and log.lines and not chosen:
        log.write(request.path.name)


@pytest.fixture(scope="session")
def running_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    state = tmp_path_factory.mktemp("slurm") / "state"
    environment = os.environ | {"LOCAL_SLURM": str(state), "SLURM_CONF": str(state / "slurm.conf"), "COLUMNS": "200"}
    started = subprocess.run([str(SCRIPT), "start"], env=environment, capture_output=True, text=True)
    if started.returncode == 2:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    yield Slurm(environment)
    subprocess.run([str(SCRIPT), "stop"], env=environment, check=True)


@pytest.fixture(scope="module")
def slurm(running_slurm: Slurm, log: Callable[[str], None]) -> Slurm:
    system = f"{platform.system()} {platform.machine()}"
    log(f"- {running_slurm.ask('slurmd', '-V')}, two nodes on one machine (`scripts/local_slurm.sh`); {system}")
    return running_slurm


@pytest.fixture
def commands(tmp_path: Path, slurm: Slurm, tiny_overrides: list[str]) -> Commands:
    shutil.copy(HERE / "gates.py", tmp_path)
    return Commands(tmp_path, slurm.environment, ["model=sequential", *tiny_overrides])


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
