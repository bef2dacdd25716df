"""All optimizers and schedules of PyTorch, parts and averages: each trains, and resumes as if it had not stopped."""

import inspect
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import metrics_of
from test_resume import killed_in_epoch, same

import mnist_cnn as mc
from mnist_cnn.config.build import build_data
from mnist_cnn.config.foreign import UNUSABLE
from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run

NET = ["model=sequential", "model.layers=[{conv:3},pool,flatten,{dense:10}]", "optimizer=any"]
SHORT = ["data.limit_train=96", "data.limit_val=40", "data.limit_test=40"]


def optimizer(name: str) -> list[str]:
    return [*NET, f"optimizer._target_=torch.optim.{name}"]


def schedule(name: str, *values: str, interval: str = "epoch") -> list[str]:
    target = f"scheduler._target_=torch.optim.lr_scheduler.{name}"
    sgd = ["optimizer._target_=torch.optim.SGD", "optimizer.lr=0.05", "optimizer.momentum=0.9"]
    return [*NET, *sgd, "scheduler=any", target, f"scheduler.interval={interval}", *(f"scheduler.{v}" for v in values)]


def node(name: str, **values: object) -> str:
    inner = "".join(f",{key}:{value}" for key, value in values.items())
    return f"{{_target_:torch.optim.lr_scheduler.{name}{inner}}}"


LAMBDA = "lr_lambda={_target_:test_open_recipe.halved,_partial_:true}"
SCHEDULES = {
    "LambdaLR": schedule("LambdaLR", LAMBDA),
    "MultiplicativeLR": schedule("MultiplicativeLR", LAMBDA),
    "StepLR": schedule("StepLR", "step_size=1"),
    "MultiStepLR": schedule("MultiStepLR", "milestones=[1]"),
    "ConstantLR": schedule("ConstantLR", "total_iters=1"),
    "LinearLR": schedule("LinearLR", "total_iters=4", interval="step"),
    "ExponentialLR": schedule("ExponentialLR", "gamma=0.9", "frequency=2", interval="step"),
    "SequentialLR": schedule(
        "SequentialLR", f"schedulers=[{node('LinearLR', total_iters=2)},{node('MultiStepLR', milestones=[1])}]",
        "milestones=[2]", interval="step",
    ),
    "CosineAnnealingLR": schedule("CosineAnnealingLR", interval="step"),
    "ChainedScheduler": schedule(
        "ChainedScheduler", f"schedulers=[{node('ConstantLR', total_iters=1)},{node('ExponentialLR', gamma=0.5)}]"
    ),
    "ReduceLROnPlateau": schedule("ReduceLROnPlateau", "patience=0", "threshold=1000", "threshold_mode=abs"),
    "CyclicLR": schedule("CyclicLR", "base_lr=0.01", "max_lr=0.1", "step_size_up=2", interval="step"),
    "CosineAnnealingWarmRestarts": schedule("CosineAnnealingWarmRestarts", "T_0=2", interval="step"),
    "OneCycleLR": schedule("OneCycleLR", "max_lr=0.1", interval="step"),
    "PolynomialLR": schedule("PolynomialLR", "total_iters=3"),
}  # fmt: skip
NOT_ALONE = {"Optimizer", "SparseAdam", "Muon"}  # a base class; two that are refused
CLASSES = {name for name, found in vars(torch.optim).items() if inspect.isclass(found)}
OPTIMIZERS = {name: optimizer(name) for name in sorted(CLASSES - NOT_ALONE)}
CHANNELS = "model.layers=[{conv:3},pool,{conv:2},gap,{dense:10}]"  # gradients in rows of them, were it not for LBFGS
OPTIMIZERS["LBFGS"] += [CHANNELS, "optimizer.lr=0.1"]  # at its own, 1, rounding decides whether it diverges
OTHERS = {
    "muon": [*NET, "optimizer=muon", "scheduler=one_cycle"],
    "parts": [
        *optimizer("AdamW"),
        "optimizer.decay_norms=false",
        "optimizer.parts={net.0.*:{lr:0.01}}",
        "scheduler=cosine",
    ],
    "swa": [*optimizer("SGD"), "callbacks=[checkpoint,swa]", "callbacks.swa.from_epoch=0", "test_weights=last"],
}


def callback(name: str, *values: str) -> list[str]:
    target = f"callbacks.mine._target_=pytorch_lightning.callbacks.{name}"
    return [*optimizer("SGD"), target, *(f"callbacks.mine.{value}" for value in values)]


def function(name: str) -> str:
    return f"{{_target_:test_open_recipe.{name},_partial_:true}}"


CALLBACKS = {
    "Callback": callback("Callback"),
    "Checkpoint": callback("Checkpoint"),
    "DeviceStatsMonitor": [*callback("DeviceStatsMonitor"), "logger=tensorboard"],
    "EarlyStopping": callback("EarlyStopping", "monitor=val/acc", "mode=max"),
    "GradientAccumulationScheduler": callback("GradientAccumulationScheduler", "scheduling={1:2}"),
    "LambdaCallback": callback("LambdaCallback", f"on_train_start={function('nothing')}"),
    "LearningRateMonitor": [*callback("LearningRateMonitor"), "logger=tensorboard"],
    "ModelCheckpoint": callback("ModelCheckpoint", "monitor=val/loss", "filename=mine"),
    "ModelSummary": callback("ModelSummary"),
    "RichModelSummary": callback("RichModelSummary"),
    "ThroughputMonitor": [*callback("ThroughputMonitor", f"batch_size_fn={function('size')}"), "logger=tensorboard"],
    "Timer": callback("Timer", "duration={hours:1}"),
    "EMAWeightAveraging": callback("EMAWeightAveraging"),
    "WeightAveraging": callback("WeightAveraging"),
}
MIXED = (
    "augment.transforms=[{_target_:torchvision.transforms.v2.RandomRotation,_args_:[10]},"
    "{_target_:torchvision.transforms.v2.MixUp}]"
)
OTHERS["mixup"] = [*OPTIMIZERS["SGD"], "augment._target_=torchvision.transforms.v2.Compose", MIXED]
# Several of each kind in two trainings.
TOGETHER = {
    "LBFGS and plateau": [
        *SCHEDULES["ReduceLROnPlateau"], "optimizer._target_=test_open_recipe.lbfgs", "~optimizer.momentum",
        CHANNELS,
    ],
    "muon, a chain, mixup and swa": [
        *NET, *SCHEDULES["SequentialLR"][6:], "optimizer=muon", *OTHERS["swa"][-3:], *OTHERS["mixup"][-2:]
    ],
}  # fmt: skip
RECIPES = OPTIMIZERS | SCHEDULES | CALLBACKS | OTHERS | TOGETHER


def lbfgs(params: Any, lr: float) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(params, lr=lr)


def halved(epoch: int) -> float:
    return 0.5**epoch


def nothing(*of: object) -> None:
    pass


def size(batch: list[torch.Tensor]) -> int:
    return len(batch[1])


def mirrored(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-1)


class CropsLater:
    """Not before the third batch."""

    def __init__(self) -> None:
        self.batches = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.batches += 1
        return images if self.batches < 3 else images[..., :20]


def test_augmentation_by_a_function_of_images(cli, tiny_overrides, tmp_path, capsys):
    own = ["model=vanilla", *tiny_overrides, "augment=any", "augment._target_=test_open_recipe.mirrored"]
    assert cli(*own) == 2
    assert (
        "augment.images: missing (a function of the images themselves has augment._partial_=true)"
        in capsys.readouterr().err
    )
    assert cli(*own, "augment._partial_=true", "trainer.max_epochs=1") == 0
    capsys.readouterr()
    chain = "augment.transforms=[{_target_:test_open_recipe.mirrored}]"
    assert cli(*own[:-1], "augment._target_=torchvision.transforms.v2.Compose", chain) == 2
    assert "(a function of the images themselves has augment.transforms" in capsys.readouterr().err


def test_augmentation_that_changes_the_shape_later_is_told_with_its_key(cli, tiny_overrides, capsys):
    own = ["augment=any", "augment._target_=test_open_recipe.CropsLater"]
    assert cli("model=vanilla", *tiny_overrides, "trainer.max_epochs=2", *own) == 1
    error = capsys.readouterr().err
    assert "error: augment: makes torch.float32 (32, 1, 28, 20) of torch.float32 (32, 1, 28, 28)" in error
    assert "no epoch was complete: it would begin again" in error


def test_the_table_names_every_schedule_and_what_is_left_out_is_refused():
    assert set(SCHEDULES) == set(torch.optim.lr_scheduler.__all__) - {"LRScheduler"}
    assert {f"torch.optim.{name}" for name in NOT_ALONE - {"Muon"}} <= set(UNUSABLE)


class StopsAtStep(pl.Callback):
    """As Lightning's `Timer`, without a clock."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            trainer.should_stop = True


@pytest.mark.parametrize("end", [["trainer.max_steps=3"], ["callbacks.stop._target_=test_open_recipe.StopsAtStep"]])
def test_weights_are_averaged_too_where_an_epoch_ends_before_its_last_batch(cli, tiny_overrides, tmp_path, end):
    recipe = [*RECIPES["swa"], *tiny_overrides, "trainer.max_epochs=2", "hydra.run.dir=run"]
    assert cli(*recipe, *end) == 0
    run = Run(tmp_path / "run")
    checkpoint = load_checkpoint(run.checkpoint("last"))
    averaged, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert all(torch.equal(averaged[name], current[name]) for name in current)  # of one epoch, begun and not ended
    if (told := metrics_of(run)["figures"].get("val/loss")) is not None:  # the weights that are kept were validated
        net = mc.load(run.path, weights="last")
        data = build_data(run.config())
        data.prepare_data()
        data.setup("fit")
        images = data.splits["val"]
        loss = torch.nn.functional.cross_entropy(net(images.images / 255), images.labels).detach()
        assert float(loss) == pytest.approx(told, rel=1e-5)


@pytest.mark.filterwarnings("ignore:When using the `ThroughputMonitor`")  # of a count that it does without
@pytest.mark.parametrize("name", [n if n in TOGETHER else pytest.param(n, marks=pytest.mark.slow) for n in RECIPES])
def test_it_trains_and_resumes_as_if_it_had_not_stopped(cli, tiny_overrides, tmp_path, monkeypatch, name):
    epochs = 3 if "ReduceLROnPlateau" in " ".join(RECIPES[name]) else 2
    recipe = [*RECIPES[name], *tiny_overrides, *SHORT, f"trainer.max_epochs={epochs}"]
    assert cli(*recipe, f"hydra.run.dir={tmp_path}/whole") == 0
    whole = Run(tmp_path / "whole")
    assert 0 <= metrics_of(whole)["figures"]["train/acc"] <= 1
    assert [row["images"] for row in whole.history()] == [96] * epochs
    if "callbacks.swa.from_epoch=0" in recipe:
        assert metrics_of(whole)["averaging"] == "EpochAveraging"
        assert "epoch 2, averaged by EpochAveraging" in whole.log_file.read_text()
    parts = killed_in_epoch(epochs - 1, cli, monkeypatch, tmp_path / "parts", recipe)
    assert cli(f"resume={parts.path}") == 0
    same(whole, parts)
    if any(word.startswith("scheduler=") for word in RECIPES[name]) and name != "ConstantLR":
        assert len({row["lr"] for row in whole.history()}) == 2
