"""Wrong inputs where users bring PyTorch's parts or their own: one line each, before anything is built or written."""

import copy
import functools
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torchvision.transforms import v2

from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.schema import find_problems

LR = "torch.optim.lr_scheduler."
PL = "pytorch_lightning.callbacks."
V2 = "torchvision.transforms.v2."
MADE = {"_target_": "test_open_refusals.made"}
OPEN = {"_target_": "test_open_refusals.hands_on"}
STEP = {"_target_": f"{LR}StepLR", "interval": "epoch", "step_size": 1}


def made(params: Any, lr: float = 0.01) -> Any:
    return torch.optim.SGD(params, lr=lr)


def hands_on(params: Any, **options: Any) -> Any:
    return torch.optim.SGD(params, **options)


def said(weights: Any) -> torch.optim.SGD:
    return torch.optim.SGD(weights)


def unsaid(weights: Any) -> Any:
    return said(weights)


def erases(**options: Any) -> v2.Transform:
    return v2.RandomErasing(**options)


def rprop(params: Any) -> Any:
    return torch.optim.Rprop(params)


def makes_none(params: Any) -> None:
    pass


@functools.cache
def base() -> dict[str, Any]:
    tree: Any = OmegaConf.to_container(compose_run(["model=sequential", "trainer=cpu"]).cfg, resolve=True)
    return tree


def problems(**groups: dict[str, Any]) -> list[str]:
    """Of the usual configuration with other groups, or more callbacks."""
    tree = copy.deepcopy(base())
    tree["callbacks"].update(groups.pop("callbacks", {}))
    tree["trainer"].update(groups.pop("trainer", {}))
    return find_problems(OmegaConf.create(tree | groups))


def adam(**values: Any) -> dict[str, Any]:
    return {"optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01, **values}}


def follow(schedule: str, **values: Any) -> dict[str, Any]:
    return adam() | {"scheduler": {"_target_": LR + schedule, "interval": "epoch", **values}}


def change(transform: str, **values: Any) -> dict[str, Any]:
    return {"augment": {"_target_": V2 + transform, **values}}


def call(callback: str, **values: Any) -> dict[str, Any]:
    return {"callbacks": {"mine": {"_target_": PL + callback, **values}}}


# what is set, and what the line must say
WRONG = {
    "no such optimizer": ({"optimizer": {"_target_": "torch.optim.Adan"}}, ["torch.optim.Adan", "'Adam'"]),
    "no such module": ({"optimizer": {"_target_": "torch.optm.Adam"}}, ["torch.optm.Adam", "did you mean 'optim'"]),
    "no such package": ({"optimizer": {"_target_": "torhc.optim.Adam"}}, ["'torhc' is found; did you mean 'torch'?"]),
    "no dotted name": ({"optimizer": {"_target_": "torch..Adam"}}, ["'torch..Adam'", "dotted name"]),
    "a module in place of a class": ({"optimizer": {"_target_": "torch.optim"}}, ["must be a class"]),
    "a class of another kind": ({"optimizer": {"_target_": "torch.nn.Linear"}}, ["must be a Optimizer"]),
    "a function that makes no optimizer": (
        {"optimizer": {"_target_": "test_open_refusals.makes_none"}}, ["makes a NoneType, no optimizer"],
    ),
    "a function that does not say so": (
        {"optimizer": {"_target_": "test_open_refusals.unsaid"}}, ["a class of Optimizer, or a function of `params`"],
    ),
    "a function's typo": ({"optimizer": {**MADE, "lrr": 1.0}}, ["optimizer.lrr", "'optimizer.lr'"]),
    "a function's type": ({"optimizer": {**MADE, "lr": "low"}}, ["optimizer.lr = 'low'", "float"]),
    "what a function hands on": (
        {"optimizer": {**OPEN, "momentun": 0.9}}, ["optimizer.momentun: unknown key", "'optimizer.momentum'"],
    ),
    "a typo in a part of a function's": (
        {"optimizer": {**OPEN, "parts": {"net.0.*": {"lrr": 0.1}}}}, ["optimizer.parts.net.0.*.lrr", "lr"],
    ),
    "no decay to leave out in what a function makes": (
        {"optimizer": {"_target_": "test_open_refusals.rprop", "decay_norms": False}}, ["without weight_decay"],
    ),
    "a function of Python's own": ({"optimizer": {"_target_": "os.system"}}, ["a function of `params`"]),
    "sparse gradients": ({"optimizer": {"_target_": "torch.optim.SparseAdam"}}, ["SparseAdam", "sparse", "Adam"]),
    "matrices alone": ({"optimizer": {"_target_": "torch.optim.Muon"}}, ["only supports 2D", "optimizer=muon"]),
    "another optimizer's argument": ({"optimizer": {"_target_": "torch.optim.Rprop", "beta": 1}}, ["optimizer.beta"]),
    "an optimizer's value of another type": (adam(amsgrad="yes"), ["optimizer.amsgrad = 'yes'", "mean 'true'?"]),
    "a pair with a word in it": (adam(betas=[0.9, "x"]), ["optimizer.betas"]),
    "parameters by position": (adam(_args_=[1]), ["optimizer._args_", "params"]),
    "a part that is not there": (adam(parts={"net.7.*": {"lr": 0.1}}), ["parts.net.7.*", "no trained parameter"]),
    "a part that is frozen": (
        adam(parts={"net.0.*": {"lr": 0.1}}) | {"freeze": ["net.0.*"]}, ["parts.net.0.*", "no trained parameter"],
    ),
    "something frozen that is not there": ({"freeze": ["net.9.*"]}, ["freeze: no weight is named 'net.9.*'"]),
    "a typo in a part": (adam(parts={"net.0.*": {"lrr": 0.1}}), ["optimizer.parts.net.0.*.lrr", "lr"]),
    "a negative rate of a part": (adam(parts={"net.0.*": {"lr": -1}}), ["optimizer.parts.net.0.*.lr = -1", "> 0"]),
    "a part of an optimizer without parts": (
        {"optimizer": {"_target_": "torch.optim.LBFGS", "parts": {"net.0.*": {"lr": 1.0}}}}, ["LBFGS", "parameter"],
    ),
    "no decay to leave out": (
        {"optimizer": {"_target_": "torch.optim.Rprop", "decay_norms": False}}, ["decay_norms", "no weight_decay"],
    ),
    "no such schedule": (follow("SteppLR"), ["SteppLR", "'StepLR'"]),
    "a schedule without what it needs": (follow("ExponentialLR"), ["scheduler.gamma: missing"]),
    "a schedule's typo": (follow("StepLR", step_size=1, gama=0.1), ["scheduler.gama", "'scheduler.gamma'"]),
    "steps that are no whole numbers": (follow("MultiStepLR", milestones=[1.5]), ["scheduler.milestones"]),
    "a typo in a schedule inside": (
        follow("SequentialLR", schedulers=[{"_target_": f"{LR}StepLR", "stepsize": 1}], milestones=[]),
        ["scheduler.schedulers[0].stepsize", "step_size"],
    ),
    "no such schedule inside": (
        follow("ChainedScheduler", schedulers=[{"_target_": f"{LR}StepLr", "step_size": 1}]),
        ["scheduler.schedulers[0]._target_", "'StepLR'"],
    ),
    "milestones that do not fit": (
        follow("SequentialLR", schedulers=[{"_target_": f"{LR}StepLR", "step_size": 1}], milestones=[1, 2]),
        ["SequentialLR", "milestones"],
    ),
    "keys of another transform": (
        {"augment": {"_target_": "torchvision.transforms.v2.RandomErasing", "degrees": 7.0, "translate": 0.1}},
        ["augment.degrees", "augment=any"],
    ),
    "a plateau of steps": (follow("ReduceLROnPlateau", interval="step"), ["scheduler.interval", "'epoch'"]),
    "a plateau's monitor that nobody logs": (follow("ReduceLROnPlateau", monitor="val/los"), ["val/los", "'val/loss'"]),
    "a plateau in the wrong direction": (follow("ReduceLROnPlateau", monitor="val/acc"), ["scheduler.mode", "'max'"]),
    "a plateau without validation": (
        follow("ReduceLROnPlateau") | {"trainer": {"check_val_every_n_epoch": 2}}, ["scheduler.frequency"],
    ),
    "a monitor that nothing follows": (follow("StepLR", step_size=1, monitor="val/loss"), ["only ReduceLROnPlateau"]),
    "a schedule that counts steps, by epochs": (follow("OneCycleLR", max_lr=0.1), ["'epoch'", "'step'"]),
    "a word for a function": (follow("LambdaLR", lr_lambda="half"), ["scheduler.lr_lambda = 'half'", "_target_"]),
    "no such transform": (change("RandomRotatoin"), ["'RandomRotation'"]),
    "a transform's typo": (change("RandomRotation", degree=3), ["augment.degree", "'augment.degrees'"]),
    "a transform's type": (change("RandomErasing", p="often"), ["augment.p = 'often'", "float"]),
    "degrees below zero": (change("RandomRotation", degrees=-3), ["RandomRotation", "positive"]),
    "another size": (change("CenterCrop", size=20), ["CenterCrop", "(16, 1, 20, 20)", "keep their shape"]),
    "another number of colours": (change("RGB"), ["(16, 3, 28, 28)"]),
    "several pictures": (change("TenCrop", size=28), ["makes a tuple"]),
    "whole numbers alone": (change("JPEG", quality=50), ["JPEG"]),
    "too many by position": (change("RandomErasing", _args_=[1, 2, 3, 4, 5, 6]), ["augment._args_", "at most 5"]),
    "a typo inside a chain": (
        change("Compose", transforms=[{"_target_": f"{V2}RandomRotation", "degree": 3}]),
        ["augment.transforms[0].degree", "degrees"],
    ),
    "a typo inside a chain, behind **options": (
        change("Compose", transforms=[{"_target_": "test_open_refusals.erases", "value": 0.5, "pp": 0.1}]),
        ["augment.transforms[0].pp: unknown key, not taken by RandomErasing"],
    ),
    "a value inside a chain": (
        change("Compose", transforms=[{"_target_": f"{V2}MixUp"}, {"_target_": f"{V2}RandomErasing", "p": 7.0}]),
        ["augment.transforms[1].p = 7.0: torchvision.transforms.v2.RandomErasing: "],
    ),
    "something of Python's own inside": (
        change("Lambda", lambd={"_target_": "os.system", "_partial_": True}), ["os.system", "Python's own"],
    ),
    "a callback's typo": (call("EarlyStopping", monitor="val/loss", patiense=1), ["patiense", "patience"]),
    "a callback's type": (call("Timer", duration=[1]), ["callbacks.mine.duration"]),
    "a callback's word": (call("Timer", duration="soon"), ["Timer"]),
    "a monitor that nobody logs": (call("EarlyStopping", monitor="val/f2"), ["callbacks.mine.monitor", "val/f2"]),
    "a logger that is not there": (call("DeviceStatsMonitor") | {"logger": {}}, ["callbacks.mine", "needs a logger"]),
    "a second bar": (call("RichProgressBar"), ["progress bar of its own"]),
    "an average that comes too late": (call("StochasticWeightAveraging", swa_lrs=0.1), ["callbacks=[checkpoint,swa]"]),
    "a rate found behind the record": (call("LearningRateFinder"), ["sweep"]),
    "no backbone": (call("BackboneFinetuning"), ["backbone"]),
    "an average from after the end": (
        {"callbacks": {"mine": {"_target_": "mnist_cnn.optim.EpochAveraging", "from_epoch": 20}}}, ["from_epoch"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_it_is_refused_in_one_line(name):
    groups, said = WRONG[name]
    [line] = problems(**groups)
    assert "\n" not in line
    for words in said:
        assert words in line


RIGHT = {
    "Adafactor with its two eps": {"optimizer": {"_target_": "torch.optim.Adafactor", "eps": [None, 0.001]}},
    "a transform by position": change("RandomRotation", _args_=[10]),
    "a function that makes an optimizer": {"optimizer": {**MADE, "lr": 0.1}},
    "a function that hands on, in parts": {
        "optimizer": {**OPEN, "momentum": 0.9, "decay_norms": False, "parts": {"net.0.*": {"lr": 0.1}}}
    },
    "a function that says what it makes": {"optimizer": {"_target_": "test_open_refusals.said"}},
    "an own function": change("Lambda", lambd={"_target_": "torch.nn.functional.relu", "_partial_": True}),
    "a wait that is not a number": call("Timer", duration={"hours": 1}),
    "a node for a length of time": call("Timer", duration="00:01:00:00", interval="epoch"),
    "a learning rate of somebody's optimizer": {"learning_rates": {"lion": 0.1}},
    "a chain of ours and theirs": change(
        "Compose",
        transforms=[{"_target_": f"{V2}MixUp"}, {"_target_": f"{V2}RandomErasing", "value": 0.5}],
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name):
    assert problems(**RIGHT[name]) == []


# All others of torchvision that need no argument work.
REFUSED_TRANSFORMS = {
    "Transform", "RGB", "RandomIoUCrop", "RandomZoomOut", "SanitizeBoundingBoxes", "SanitizeKeyPoints", "ToPILImage",
}  # fmt: skip
# All others of Lightning work: test_open_recipe.py trains with them.
REFUSED_CALLBACKS = {
    "BackboneFinetuning", "BaseFinetuning", "BasePredictionWriter", "BatchSizeFinder", "LearningRateFinder",
    "ModelPruning", "OnExceptionCheckpoint", "ProgressBar", "RichProgressBar", "SpikeDetection",
    "StochasticWeightAveraging", "TQDMProgressBar",
    "DeviceStatsMonitor", "LearningRateMonitor",  # need a logger
}  # fmt: skip


@pytest.mark.slow
def test_every_transform_of_torchvision_works_or_is_refused_in_a_line():
    """Those with arguments are tried in the tables above."""
    refused = set()
    for name, found in vars(v2).items():
        if isinstance(found, type) and issubclass(found, v2.Transform):
            lines = [line for line in problems(**change(name)) if ": missing" not in line]
            assert len(lines) <= 1
            refused |= {name} if lines else set()
    assert refused == REFUSED_TRANSFORMS


@pytest.mark.slow
def test_every_callback_of_lightning_works_or_is_refused_in_a_line():
    refused = set()
    for name in pl.callbacks.__all__:
        lines = [line for line in problems(**call(name)) if ": missing" not in line]
        assert len(lines) <= 1
        refused |= {name} if lines else set()
    assert refused == REFUSED_CALLBACKS
