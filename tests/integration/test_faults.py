"""What a machine does to a run: it ends with a word, loses nothing complete, and goes on to the same end."""

import errno
import functools
import os
import random
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from chaos import Chaos
from conftest import metrics_of, write_images
from program import start
from test_resume import same

from mnist_cnn.runs.directory import Run

pytestmark = pytest.mark.slow


def limit(name: str, value: int) -> None:
    resource.setrlimit(getattr(resource, name), (value, value))


def environment(**values: str | None) -> None:
    for name, value in values.items():
        os.environ.pop(name, None)
        os.environ.update({} if value is None else {name: value})


def clock_goes_back() -> None:
    now, began = time.time, time.monotonic()
    time.time = lambda: now() - 3600 * (time.monotonic() - began > 0.5)


def after_an_epoch(folder: str, change: Callable[[Path], None]) -> None:
    """Does something to the run directory once it has a complete epoch."""
    from mnist_cnn.callbacks import History

    inner = History.on_train_epoch_end

    def wrapped(self, trainer, pl_module):
        if self.rows:
            change(Path(folder))
        inner(self, trainer, pl_module)

    History.on_train_epoch_end = wrapped


def delete_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints", ignore_errors=True)


def disk_is_full(run: Path) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.fsync = full


HARMLESS = {
    "64 file descriptors": functools.partial(limit, "RLIMIT_NOFILE", 64),
    "20 file descriptors": functools.partial(limit, "RLIMIT_NOFILE", 20),
    "4 GB of memory": functools.partial(limit, "RLIMIT_DATA", 4 << 30),
    "a clock set back": clock_goes_back,
    "no HOME": functools.partial(environment, HOME=None, XDG_CACHE_HOME=None),
    "a plain terminal": functools.partial(environment, TERM="dumb", LC_ALL="C"),
    "stdin closed": functools.partial(os.close, 0),
}
STOPPING = {
    "a file size limit": (functools.partial(limit, "RLIMIT_FSIZE", 12_000), "File too large"),
    "a full disk": (disk_is_full, "No space left on device"),
}


@pytest.fixture(scope="module")
def chaos(tmp_path_factory) -> Chaos:
    folder = tmp_path_factory.mktemp("chaos")
    write_images(folder / "custom" / "raw")
    return Chaos(folder, random.Random(0))


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_fault_that_changes_nothing(chaos, tmp_path, fault):
    program = start([*chaos.recipe("plain"), f"hydra.run.dir={tmp_path}/run"], tmp_path, prepare=HARMLESS[fault])
    assert program.wait() == 0, program.output()
    assert "Traceback" not in program.output()
    same(chaos.whole("plain"), Run(tmp_path / "run"))
    assert {path.name for path in tmp_path.iterdir()} - {program.printed.name} == {"run"}


@pytest.mark.parametrize("fault", STOPPING)
def test_a_fault_that_ends_the_run(chaos, tmp_path, fault):
    change, words = STOPPING[fault]
    run = Run(tmp_path / "run")
    prepare = functools.partial(after_an_epoch, str(run.path), change) if change is disk_is_full else change
    program = start([*chaos.recipe("plain"), f"hydra.run.dir={run.path}"], tmp_path, prepare=prepare)
    assert program.wait() == 1, program.output()
    output = program.output()
    assert words in output.splitlines()[-1] or words in output.splitlines()[-2]
    assert str(run.path) in output
    assert "Traceback" not in output
    assert metrics_of(run)["status"] in ("failed", "running")
    assert not [path for path in run.path.rglob(".*") if path.name != ".lock"]
    program = start([f"resume={run.path}"], tmp_path)
    assert program.wait() == 0, program.output()
    same(chaos.whole("plain"), run)


def test_checkpoints_deleted_while_it_runs(chaos, tmp_path):
    prepare = functools.partial(after_an_epoch, str(tmp_path / "run"), delete_checkpoints)
    program = start([*chaos.recipe("plain"), f"hydra.run.dir={tmp_path}/run"], tmp_path, prepare=prepare)
    program.wait()
    assert "Traceback" not in program.output()


def test_a_log_that_is_a_directory(chaos, tmp_path):
    (tmp_path / "run" / "train.log").mkdir(parents=True)
    program = start([*chaos.recipe("plain"), f"hydra.run.dir={tmp_path}/run"], tmp_path)
    assert program.wait() in (1, 2)
    [error] = [line for line in program.output().splitlines() if line.startswith("error: ")]
    assert f"{tmp_path}/run/train.log: a folder" in error
    assert "Traceback" not in program.output()
