"""What `make test-use` needs beside the package, said at once where it is missing, and the log that it leaves.

No conftest.py: processes that tests of other folders start import theirs by that name.
"""

import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from mnist_cnn.demo.__main__ import SETTINGS
from mnist_cnn.export.source import Pixels, Source, find_source, pixels_of

LOG = Path(__file__).parents[2] / "results" / "use" / "log.md"
NEEDED = {
    "chromium": "apt-get install chromium",
    "qemu-system-arm": "apt-get install qemu-system-arm",
    "gcc": "apt-get install gcc",
    "node": "apt-get install nodejs",
}
VERSIONS = (["chromium", "--version"], ["qemu-system-arm", "--version"], ["gcc", "--version"], ["node", "--version"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("-m") == "use" and any(item.get_closest_marker("use") for item in items):
        missing = [f"{name} ({how})" for name, how in NEEDED.items() if shutil.which(name) is None]
        missing += ["ziglang (pip install ziglang)"] * (importlib.util.find_spec("ziglang") is None)
        if missing:
            pytest.exit(f"make test-use needs {', '.join(missing)}", returncode=2)


class Log:
    """Lines; written when all tests have passed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, words: str) -> None:
        print(words)
        self.lines.append(f"- {words}")


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    log = Log()
    yield log
    if request.session.testsfailed or request.config.getoption("-k"):
        return
    versions = [
        subprocess.run(call, capture_output=True, text=True, check=True).stdout.splitlines()[0] for call in VERSIONS
    ]
    versions[-1] = f"node {versions[-1].removeprefix('v')}"
    versions.append(f"zig {importlib.util.find_spec('ziglang') and _zig()}")
    head = ["# make test-use", "", "What the tests in `tests/use` measured when all of them last passed.", ""]
    about = ["", f"With {', '.join(versions)}; {platform.system()} {platform.machine()}.", ""]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("\n".join([*head, *log.lines, *about]))


def _zig() -> str:
    call = [sys.executable, "-m", "ziglang", "version"]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def source() -> Source:
    """The net of the package."""
    return find_source(OmegaConf.create(dict.fromkeys(SETTINGS) | {"run_dir": "gap"}), SETTINGS)


@pytest.fixture(scope="session")
def pixels(source: Source) -> Pixels:
    """All 10,000 test images."""
    found = pixels_of(source.images("test"))
    assert len(found) == 10_000
    return found


@pytest.fixture(scope="session")
def answers(source: Source, pixels: Pixels) -> np.ndarray:
    """What Python says of them."""
    return source.logits(pixels).argmax(1)
