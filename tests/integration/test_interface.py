"""The Python interface: the figures of the command, and a process left as it was found."""

import json
import logging
import os
import pkgutil
import random
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import metrics_of
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import mnist_cnn as mc
from mnist_cnn import callbacks, evaluate
from mnist_cnn.errors import ConfigError, Interrupted, RunError
from mnist_cnn.runs.directory import Run

FAST = ["model=sequential", "trainer.max_epochs=2"]
UNTIMED = {"seconds", "train_seconds"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def untimed(history: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in UNTIMED} for row in history]


def test_fit_gives_the_figures_of_the_command_also_twice_in_a_process(cli, here, tiny_overrides):
    assert cli(*FAST, "seed=3", *tiny_overrides, "hydra.run.dir=command") == 0
    command = Run(here / "command")
    for _ in range(2):
        result = mc.fit(*FAST, *tiny_overrides, seed=3)
        assert result.figures == metrics_of(command)["figures"]
        accuracy = result.figures["test/acc"]
        assert repr(result).startswith(f"Result({result.run.path}: val/")
        assert f"test/acc {accuracy:.4f}" in repr(result)
        assert result.figures["test/acc"] == result.record.results.test_acc
        assert untimed(result.history) == untimed(command.history())
        assert [row["epoch"] for row in result.history] == [1, 2]
        assert result.run.path.parent == here / "runs" / "sequential"
        assert result.run.completed
        assert isinstance(result.trainer, pl.Trainer)
        assert metrics_of(result.run)["timing"]["start_seconds"] < 60  # not the age of this process
        trained, loaded = result.model.state_dict(), mc.load(result.run.path).state_dict()
        assert all(torch.equal(trained[name], loaded[name]) for name in trained)


def global_state() -> dict[str, object]:
    return {
        "handlers": list(logging.getLogger().handlers),
        "level": logging.getLogger().level,
        "lightning": [logging.getLogger("pytorch_lightning").level, logging.getLogger("pytorch_lightning").propagate],
        "warnings": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "timeout": socket.getdefaulttimeout(),
        "threads": torch.get_num_threads(),
        "cudnn": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "program": sys.modules["__main__"],
        "arguments": list(sys.argv),
    }


def test_the_process_is_left_as_it_was_found(here, tiny_overrides):
    (here / "conf").mkdir()
    (here / "conf" / "own.yaml").write_text("a: 1\n")
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    expected = torch.rand(3), random.random(), np.random.rand()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    with initialize_config_dir(str(here / "conf"), version_base="1.2"):
        own = GlobalHydra.instance().hydra
        before = global_state()
        result = mc.fit(
            *FAST, *tiny_overrides, "trainer.deterministic=true", "trainer.benchmark=false", "trainer.max_epochs=1"
        )
        mc.load(result.run.path)
        with pytest.raises(ConfigError):
            mc.fit("seeed=1")
        assert global_state() == before
        assert GlobalHydra.instance().hydra is own
        assert compose("own").a == 1
    found = torch.rand(3), random.random(), np.random.rand()
    assert torch.equal(found[0], expected[0])
    assert found[1:] == expected[1:]


def test_calls_from_two_threads_wait_for_each_other(here, tiny_overrides):
    alone = mc.fit(*FAST, *tiny_overrides, seed=1).figures
    found: list[dict] = []

    def work() -> None:
        found.append(mc.fit(*FAST, *tiny_overrides, seed=1).figures)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone, alone]


def test_a_notebooks_stop_button_leaves_a_run_that_resumes(here, tiny_overrides, monkeypatch):
    whole = mc.fit(*FAST, *tiny_overrides)
    begin = callbacks.SeedEpochs.on_train_epoch_start

    def stop_in_the_second(self, trainer, pl_module):
        begin(self, trainer, pl_module)
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.SeedEpochs, "on_train_epoch_start", stop_in_the_second)
        with pytest.raises(Interrupted, match="resume=") as told:
            mc.fit(*FAST, *tiny_overrides)
    path = str(told.value).rpartition("resume=")[2]
    assert metrics_of(Run(Path(path)))["status"] == "interrupted"
    resumed = mc.fit(resume=path)
    assert (resumed.figures, untimed(resumed.history)) == (whole.figures, untimed(whole.history))


def test_a_plot_that_fails_leaves_the_run_complete(here, tiny_overrides, monkeypatch):
    (here / "run" / "curves.png").mkdir(parents=True)
    with pytest.raises(RunError, match="curves"):
        mc.fit(*tiny_overrides, "debug=one_batch", "figures=true", "hydra.run.dir=run")
    assert Run(here / "run").completed


def test_errors_are_exceptions_with_the_words_of_the_command(cli, here, capsys, tiny_overrides):
    for overrides in (["optimizer.lr=-1"], ["model=gpa"], ["resume=nowhere.ckpt"], ["a=[1,2"], ["seed=1,2"], ["~key"]):
        assert cli(*overrides, *tiny_overrides) == 2
        printed = capsys.readouterr().err
        with pytest.raises((ConfigError, RunError)) as told:
            mc.fit(*overrides, *tiny_overrides)
        assert f"error: {told.value}\n" == printed
    with pytest.raises(ConfigError, match="must be an override"):
        mc.fit(3)
    with pytest.raises(ConfigError, match="seed = <object"):
        mc.fit(seed=object())
    with pytest.raises(ConfigError, match="ddp"):
        mc.fit("trainer=ddp")
    assert not list(here.rglob("config.yaml"))


def test_settings_are_python_values(here, tiny_overrides):
    result = mc.fit(
        *tiny_overrides,
        "debug=one_batch",
        model="gap",
        seed=np.int64(4),
        figures=False,
        resume=None,
        run_root=here / "a b",
    )
    assert result.run.path.parent == here / "a b" / "gap"
    cfg = result.run.config()
    assert (cfg.seed, cfg.figures, cfg.model._target_.rpartition(".")[2]) == (4, False, "GAPCNN")


def test_a_run_is_measured_again_in_python_and_as_json(cli, here, capsys, tiny_overrides):
    one, two = (mc.fit(*FAST, *tiny_overrides, f"hydra.run.dir={here}/a b/{seed}", seed=seed) for seed in (1, 2))
    tested = {name: value for name, value in one.figures.items() if name.startswith("test/")}
    capsys.readouterr()
    assert mc.evaluate_run(one.run.path) == pytest.approx(tested)
    assert capsys.readouterr().out == ""
    assert mc.evaluate_run(str(one.run.checkpoint("last"))) == pytest.approx(tested)
    assert "ensemble/acc" in mc.evaluate_run([one.run.path, two.run.path])
    assert "test/ece" in mc.evaluate_run(one.run.path, details=True)
    with pytest.raises(ConfigError, match="did you mean 'details'"):
        mc.evaluate_run(one.run.path, detials=True)
    assert cli(f"run_dir='{one.run.path}'", "format=json", main=evaluate.main) == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(tested)


def test_no_public_name_is_that_of_a_module():
    """An import of `mnist_cnn.train` would replace a function `train` of the interface."""
    modules = {module.name for module in pkgutil.iter_modules(mc.__path__)}
    later = {"predict", "export", "compare"}
    assert not set(mc.__all__) & (modules | later)
    assert set(mc.__all__) <= set(dir(mc))
    with pytest.raises(AttributeError, match="fitt"):
        mc.fitt  # noqa: B018
