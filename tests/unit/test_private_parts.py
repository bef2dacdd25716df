"""What the package uses of libraries beyond their public interface: if one goes, the test says which and where."""

import inspect
import re
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch.nn.modules.batchnorm
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import VersionBase
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loops.optimization.automatic import _AutomaticOptimization

import mnist_cnn
from mnist_cnn.config.compose import hydra_in_conf

PACKAGE = Path(mnist_cnn.__file__).parent


def test_lightnings_progress_bar_still_asks_for_its_words():
    """report/console.py overrides it: Lightning counts epochs from 0 there."""
    assert list(inspect.signature(RichProgressBar._get_train_description).parameters) == ["self", "current_epoch"]


def test_lightnings_loop_still_hands_its_optimization_the_batch():
    """speed/replay.py overrides `run`, speed/cuda_graph.py puts it into the loop."""
    assert list(inspect.signature(_AutomaticOptimization.run).parameters) == [
        "self",
        "optimizer",
        "batch_idx",
        "kwargs",
    ]
    loop = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu").fit_loop.epoch_loop
    assert type(loop.automatic_optimization) is _AutomaticOptimization
    assert {"step", "zero_grad"} <= vars(loop.automatic_optimization.optim_progress.optimizer).keys()


def test_hydras_state_can_still_be_put_back():
    """config/compose.py saves and restores these."""
    with hydra_in_conf():
        assert GlobalHydra.instance().hydra is not None
        assert callable(GlobalHydra.instance().hydra.multirun)
    assert GlobalHydra.instance().hydra is None
    assert HydraConfig.instance().cfg is None
    assert hasattr(VersionBase.instance(), "version_base")


def test_torchs_batch_norm_still_has_its_base():
    """models/batch_norm.py puts the averages of early Keras between it and its two forms."""
    assert issubclass(torch.nn.BatchNorm2d, torch.nn.modules.batchnorm._BatchNorm)


@pytest.mark.parametrize("package", ["pytorch-lightning", "hydra-core", "optuna"])
def test_what_private_parts_are_used_of_has_an_upper_bound(package):
    [needed] = {text.split(";")[0] for text in requires("mnist-cnn") if text.startswith(package)}
    assert re.search(r"<\d", needed)


def test_no_other_private_part_is_used():
    private = re.compile(r"hydra\._internal|optuna\.\w*\._|(?:trainer|fit_loop|epoch_loop|study|trial|optuna)\._[a-z]")
    found = [(file.name, line) for file in PACKAGE.rglob("*.py") for line in private.findall(file.read_text())]
    assert found == []


def test_the_command_line_is_read_in_one_place():
    found = [str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if "sys.argv" in file.read_text()]
    assert found == ["cli.py"]
