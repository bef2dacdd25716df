"""The Python interface: the figures of the command, and a process left as it was found."""

import inspect
import logging
import os
import pkgutil
import random
import signal
import socket
import subprocess
import sys
import threading
import typing
import warnings
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from conftest import metrics_of
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import mnist_cnn as mc
from mnist_cnn import callbacks
from mnist_cnn.data import datamodule
from mnist_cnn.errors import ConfigError, Interrupted, RunError
from mnist_cnn.interface import DataOptions
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
        assert result.figures["test/acc"] == result.record.results.test_acc
        assert untimed(result.history) == untimed(command.history())
        assert [row["epoch"] for row in result.history] == [1, 2]
        assert result.run.path.parent == here / "runs" / "sequential"
        assert result.run.completed
        assert isinstance(result.trainer, pl.Trainer)
        assert metrics_of(result.run)["timing"]["start_seconds"] < 60  # not the age of this process
        trained, loaded = result.model.state_dict(), mc.load(result.run.path).state_dict()
        assert all(torch.equal(trained[name], loaded[name]) for name in trained)


SCRIPT = """
import sys
import mnist_cnn as mc

assert "torch" not in sys.modules
common = {common!r}
result = mc.fit("model=sequential", "trainer.max_epochs=1", *common, seed=2)
rows = mc.fit_many("model=sequential,vanilla", "seed=2", "trainer.max_epochs=1", *common)
assert [row["state"] for row in rows] == ["completed", "completed"], rows
[same] = [row for row in rows if row["model"] == "sequential"]
assert same["test_acc"] == result.figures["test/acc"], (same, result.figures)
assert mc.summarize(rows[0]["directory"] + "/..") == rows
print("ran once")
"""


def test_a_script_without_a_main_guard_can_fit_and_sweep(here, tiny_overrides):
    (here / "script.py").write_text(SCRIPT.format(common=tiny_overrides))
    done = subprocess.run([sys.executable, "script.py"], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ran once") == 1
    assert not done.stderr


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
        result = mc.fit(*FAST, *tiny_overrides, "trainer.deterministic=true", "trainer.max_epochs=1")
        mc.load(result.run.path)
        with pytest.raises(ConfigError):
            mc.fit("seeed=1")
        assert global_state() == before
        assert GlobalHydra.instance().hydra is own
        assert compose("own").a == 1
    found = torch.rand(3), random.random(), np.random.rand()
    assert torch.equal(found[0], expected[0])
    assert found[1:] == expected[1:]


def test_an_import_alone_changes_nothing_and_costs_nothing():
    code = (
        "import os, sys; before = dict(os.environ); import mnist_cnn; assert dict(os.environ) == before;"
        "assert not {'torch', 'hydra', 'pytorch_lightning', 'pydantic'} & set(sys.modules);"
        "import warnings, socket, logging; handlers = logging.getLogger().handlers[:];"
        "import torch, pytorch_lightning, matplotlib; filters = list(warnings.filters); import mnist_cnn.interface;"
        "assert [f for f in warnings.filters if f not in filters] == [], warnings.filters;"
        "assert logging.getLogger().handlers == handlers; assert socket.getdefaulttimeout() is None;"
        "assert dict(os.environ).get('THP_MEM_ALLOC_ENABLE') is None"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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


def test_errors_are_exceptions_with_the_words_of_the_command(cli, here, capsys, tiny_overrides):
    for overrides in (["optimizer.lr=-1"], ["model=gpa"], ["resume=nowhere.ckpt"], ["a=[1,2"]):
        assert cli(*overrides, *tiny_overrides) == 2
        printed = capsys.readouterr().err
        with pytest.raises((ConfigError, RunError)) as told:
            mc.fit(*overrides, *tiny_overrides)
        assert f"error: {told.value}\n" == printed
    with pytest.raises(ConfigError, match="must be an override"):
        mc.fit(3)
    with pytest.raises(ConfigError, match="ddp"):
        mc.fit("trainer=ddp")
    assert not list(here.rglob("config.yaml"))


def test_settings_are_python_values(here, tiny_overrides):
    result = mc.fit(*tiny_overrides, "debug=one_batch", model="gap", seed=4, figures=False, resume=None)
    cfg = result.run.config()
    assert (cfg.seed, cfg.figures, cfg.model._target_.rpartition(".")[2]) == (4, False, "GAPCNN")


def test_a_checkpoint_alone_is_enough(here, tiny, tiny_overrides):
    run = mc.fit("model=bn_dropout", *tiny_overrides, "trainer.max_epochs=1").run
    alone = here / "elsewhere.ckpt"
    run.checkpoint("best").rename(alone)
    net = mc.load(alone)
    data = mc.MNISTDataModule(dataset="custom", root=str(tiny), md5=None, validation_size=80)
    data.setup("test")
    images = data.splits["test"].images
    with (run.predictions_file).open() as file:
        expected = [int(line.split(",")[2]) for line in file.readlines()[1:]]
    assert net.predict(images).tolist() == expected
    assert net.scale.mean == pytest.approx(float(_train_mean(tiny)), rel=1e-6)
    with pytest.raises(RunError, match="no such checkpoint"):
        mc.load(here / "nowhere.ckpt")


def _train_mean(root: Path) -> torch.Tensor:
    data = mc.MNISTDataModule(dataset="custom", root=str(root), md5=None, validation_size=80)
    data.setup("fit")
    return data.splits["train"].images.float().mean()


class Linear(pl.LightningModule):
    """Anyone's module."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(784, 10)

    def training_step(self, batch, _):
        return F.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("own", [True, False])
def test_the_data_module_and_the_models_go_with_anyones_trainer(here, tiny, own):
    data = mc.MNISTDataModule(dataset="custom", root=str(tiny), md5=None, validation_size=80, batch_size=32)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(Linear() if own else mc.create_model("gap"), datamodule=data)
    assert trainer.global_step == 8


def test_every_argument_of_the_data_module_is_optional_and_checked():
    data = mc.MNISTDataModule()
    assert (data.dataset, data.batch_size, data.validation_size, data.divide_by) == ("MNIST", 128, 5000, 255.0)
    assert isinstance(data, datamodule.MNISTDataModule)
    arguments = set(inspect.signature(datamodule.MNISTDataModule.__init__).parameters) - {"self"}
    assert set(typing.get_type_hints(DataOptions)) == arguments
    with pytest.raises(ConfigError, match=r"'data\.batch_size'"):
        mc.MNISTDataModule(batchsize=3)
    with pytest.raises(ConfigError, match=r"data\.batch_size = 0: must be int >= 1"):
        mc.MNISTDataModule(batch_size=0)


def test_models_by_name():
    assert {"bn_dropout", "gap", "vanilla"} <= set(mc.list_models())
    net = mc.create_model("bn_dropout", dropout=0.05)
    assert {m.p for m in net.net if isinstance(m, torch.nn.Dropout)} == {0.05}
    assert net.hparams.bn_debias is True  # as conf/model/bn_dropout.yaml says
    for name, options, words in [
        ("gpa", {}, "did you mean 'gap'"),
        ("bn_dropout", {"droput": 0.1}, "did you mean 'model.dropout'"),
        ("bn_dropout", {"dropout": 1.0}, "model.dropout = 1.0: must be float in"),
        ("vanilla", {"stage2": [8] * 6}, "does not fit"),
    ]:
        with pytest.raises(ConfigError, match=words.replace("[", r"\[")):
            mc.create_model(name, **options)


def test_no_public_name_is_that_of_a_module():
    """An import of `mnist_cnn.train` would replace a function `train` of the interface."""
    modules = {module.name for module in pkgutil.iter_modules(mc.__path__)}
    later = {"predict", "export", "compare"}
    assert not set(mc.__all__) & (modules | later)
    assert set(mc.__all__) <= set(dir(mc))
    with pytest.raises(AttributeError, match="fitt"):
        mc.fitt  # noqa: B018
