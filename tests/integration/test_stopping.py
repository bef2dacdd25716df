"""Every end has a word, a status and the exit code that shells expect, whenever the signal comes."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import metrics_of

from mnist_cnn import callbacks, train
from mnist_cnn.cli import user_errors
from mnist_cnn.report import console

TINY = ["model=gap", "model.stages=[[2]]", "trainer.max_epochs=2"]
MOMENTS = {
    "before the data": (train, "build_data"),
    "before the first step": (train, "describe"),
    "in the first epoch": (callbacks.SeedEpochs, "on_train_epoch_start"),
    "while a checkpoint is written": (callbacks, "write_atomically"),
    "in the test": (train, "measure"),
}
SIGNALS = [(signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGINT, 130)]


@pytest.fixture(autouse=True)
def _nothing_ignored():
    """Whoever runs the tests by nohup ignores SIGHUP, and then so do runs."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("moment", "number", "code"), [(m, *SIGNALS[i % 3]) for i, m in enumerate(MOMENTS)])
def test_a_signal_at_any_moment(cli, tiny_overrides, monkeypatch, capsys, run_of, moment, number, code):
    place, name = MOMENTS[moment]
    before = getattr(place, name)

    def told(*arguments, **keywords):
        os.kill(os.getpid(), number)
        return before(*arguments, **keywords)

    monkeypatch.setattr(place, name, told)
    handlers = [signal.getsignal(each) for each, _ in SIGNALS]
    assert cli(*TINY, *tiny_overrides) == code
    assert [signal.getsignal(each) for each, _ in SIGNALS] == handlers
    run = run_of()
    assert metrics_of(run)["status"] == "interrupted"
    assert signal.Signals(number).name.replace("SIGINT", "Ctrl-C") in metrics_of(run)["error"]
    last = capsys.readouterr().err
    assert f"resume={run.path}" in last
    assert "Traceback" not in last
    assert not [file for file in run.path.rglob(".*") if file.name != ".lock"]


def test_a_second_signal_changes_nothing(cli, tiny_overrides, monkeypatch, capsys, run_of):
    class Twice(callbacks.SeedEpochs):
        def on_train_epoch_start(self, trainer, pl_module):
            os.kill(os.getpid(), signal.SIGTERM)

        def on_exception(self, trainer, pl_module, exception):  # Lightning is already ending
            os.kill(os.getpid(), signal.SIGTERM)

        def teardown(self, trainer, pl_module, stage):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("mnist_cnn.training.trainer.SeedEpochs", Twice)
    assert cli(*TINY, *tiny_overrides) in (130, 143)
    assert metrics_of(run_of())["status"] == "interrupted"
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("module", ["train", "evaluate", "validate", "runs", "sweep", "search", "compare", "reproduce"])
def test_a_signal_while_modules_are_imported(tmp_path, module):
    number, code = SIGNALS[len(module) % 3]
    for library in ("torch", "yaml", "omegaconf", "numpy", "hydra"):  # whichever comes first
        (tmp_path / f"{library}.py").write_text(f"import os\nos.kill(os.getpid(), {int(number)})\n")
    done = run_python(["-m", f"mnist_cnn.{module}"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "stopped\n")


def run_python(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), root])} | environment
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True)


def test_a_signal_that_the_caller_ignores_stays_ignored(cli, tiny_overrides, monkeypatch, run_of):
    monkeypatch.setattr(callbacks.SeedEpochs, "on_train_epoch_start", lambda *_: os.kill(os.getpid(), signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert cli(*TINY, *tiny_overrides) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert metrics_of(run_of())["status"] == "completed"


class Full:
    """A file on a full disk."""

    def __init__(self, error: int) -> None:
        self.error = error

    def write(self, text: str) -> int:
        raise OSError(self.error, os.strerror(self.error))

    def flush(self) -> None:
        pass


def test_output_that_nobody_reads_any_more_stops_the_run(cli, tiny_overrides, monkeypatch, run_of):
    def leave() -> None:  # as rich does, without its closing of the tests' own output
        raise SystemExit(1)

    monkeypatch.setattr(console.get_console(), "_file", Full(32))
    monkeypatch.setattr(console.get_console(), "on_broken_pipe", leave)
    assert cli(*TINY, *tiny_overrides) == 141
    assert metrics_of(run_of())["status"] == "interrupted"


def test_a_command_whose_reader_has_read_enough_ends_without_a_word(cli, monkeypatch, capsys):
    def leave() -> None:
        raise SystemExit(1)

    def say() -> None:
        with user_errors(), console.logging_to():
            logging.getLogger("mnist_cnn").info("one line")

    monkeypatch.setattr(console.get_console(), "_file", Full(32))
    monkeypatch.setattr(console.get_console(), "on_broken_pipe", leave)
    assert cli(main=say) == 141
    assert capsys.readouterr().err == ""


def test_a_terminal_that_has_closed_stops_nothing(cli, tiny_overrides, monkeypatch, run_of):
    monkeypatch.setattr(console.get_console(), "_file", Full(5))
    assert cli(*TINY, *tiny_overrides) == 0
    assert metrics_of(run_of())["status"] == "completed"


def test_a_log_that_is_full_is_said_once(cli, tiny_overrides, monkeypatch, run_of, capsys):
    monkeypatch.setattr(console.LogFile, "flush", lambda self: Full(28).write(""))
    assert cli(*TINY, *tiny_overrides) == 0
    output = "".join(capsys.readouterr())
    assert output.count("train.log: No space left on device; its lines end here") == 1
    assert "Traceback" not in output


def test_a_full_disk_names_the_file_and_leaves_nothing_of_it(cli, tiny_overrides, monkeypatch, run_of, capsys):
    def full(descriptor: int) -> None:
        if "best.ckpt" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    assert cli(*TINY, *tiny_overrides) == 1
    run = run_of()
    assert metrics_of(run)["status"] == "failed"
    assert f"{run.checkpoint('best')}: No space left on device; no epoch was complete" in metrics_of(run)["error"]
    assert metrics_of(run)["error"] in capsys.readouterr().err
    assert not [file for file in run.path.rglob(".*") if file.name != ".lock"]


def test_a_terminal_without_a_sign_gets_a_plain_one(tmp_path):
    program = "from mnist_cnn.cli import user_errors\nwith user_errors():\n    print('98.1 ± 0.2 × 3 → ü')"
    done = run_python(["-c", program], tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "98.1 +- 0.2 x 3 -> ?\n"), done.stderr


def test_output_that_is_closed_is_no_error(tmp_path):
    program = "from mnist_cnn.cli import user_errors\nwith user_errors():\n    print('nothing')"
    done = run_python(["-c", f"import os, sys; os.close(1); sys.stdout = None\n{program}"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
