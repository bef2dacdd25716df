"""Which nets, losses and metrics of a user's are refused before training, in one line, and which are not."""

import shutil
import sys
from pathlib import Path

import pytest
from test_own_nets import LIT, RES

from mnist_cnn import validate
from mnist_cnn.runs.directory import Run


def test_a_monitor_that_a_module_does_not_log_ends_before_training(own, cli, tiny_overrides, tmp_path, capsys):
    assert cli("model=net", "model._target_=my_nets.Lit", *tiny_overrides, "hydra.run.dir=run") == 2
    printed, message = capsys.readouterr()
    assert " 1/" not in printed
    assert "callbacks.checkpoint.monitor = 'val/acc': nobody logs it" in message
    assert "val/loss, val/top1" in message
    assert not Run(tmp_path / "run").checkpoint("last").exists()


F1 = "metrics.f1._target_=torchmetrics.classification.MulticlassF1Score"
NET = "model=net"
REFUSED = {
    "no name": ([NET], "name the net"),
    "no such class": ([NET, "model._target_=my_nets.Rse"], "did you mean 'Res'"),
    "no such file": ([NET, "model._target_=my_net.Res"], "'my_net' is found; did you mean 'my_nets'?"),
    "no net at all": ([NET, "model._target_=os.system", "+model.command=ls"], "must be a class of nn.Module"),
    "a function that does not say so": ([NET, "model._target_=my_nets.unsaid"], "-> nn.Module"),
    "an argument it does not have": ([*RES, "model.widht=4"], "did you mean 'model.width'"),
    "an argument of another type": ([NET, "model._target_=my_nets.Res", "model.width=wide"], "must be int"),
    "a missing argument": ([NET, "model._target_=my_nets.Res"], "model.width: missing"),
    "two outputs": ([NET, "model._target_=my_nets.TwoOutputs", "model.width=2"], "tuple of 2"),
    "nine outputs": ([*RES, "model.num_classes=9"], "model.num_classes = 9"),
    "nine outputs of a function": ([NET, "model._target_=my_nets.nine"], "9 logits for 10 classes"),
    "colour": ([NET, "model._target_=my_nets.Colour"], "model.adapt_input=true"),
    "shapes that do not fit": ([*RES, "model.width=0"], "my_nets.py"),
    "a loss that is none": ([*RES, "model.loss._target_=os.getcwd"], "model.loss"),
    "a loss for each image": ([*RES, "model.loss._target_=my_nets.each_its_own"], "shape (2,)"),
    "an argument that the loss does not have": (
        [*RES, "model.loss._target_=my_nets.focal", "model.loss.gama=1"], "did you mean 'model.loss.gamma'"
    ),
    "a typo behind keywords that are handed on": (
        [NET, "model._target_=my_nets.by_name", "model.name=Res", "model.widht=4"],
        "model.widht: unknown key; did you mean 'model.width'?",
    ),
    "weights of the classes in PyTorch's loss": (
        ["model.loss._target_=torch.nn.CrossEntropyLoss", "model.loss.weight=[1,1,1,1,1,1,1,1,1,2]"],
        "use model.class_weights=[...]",
    ),
    "smoothing for an own loss": ([*RES, "model.loss._target_=my_nets.focal", "model.label_smoothing=0.1"],
                                  "is for cross_entropy"),
    "mixed labels under a loss of numbers": (
        ["model.loss._target_=torch.nn.MultiMarginLoss", "augment._target_=torchvision.transforms.v2.MixUp"],
        "which torch.nn.MultiMarginLoss does not take",
    ),
    "nine weights": (["model.class_weights=[1,1,1,1,1,1,1,1,1]"], "9 weights for 10 classes"),
    "a metric of another task": (["metrics.f1._target_=torchmetrics.classification.BinaryF1Score"], "metrics.f1"),
    "a metric that is none": (["metrics.f1._target_=torch.nn.ReLU"], "must be a Metric"),
    "an argument that the metric does not have": ([F1, "metrics.f1.avrage=macro"], "avrage"),
    "a value that the metric does not have": ([F1, "metrics.f1.average=mcro"], "metrics.f1.average"),
    "a name that is taken": (["metrics.acc._target_=torchmetrics.classification.MulticlassF1Score"], "metrics.acc"),
    "a monitor that nobody logs": (["metrics=f1", "callbacks.checkpoint.monitor=val/f2"], "did you mean 'val/f1'"),
    "the wrong direction": (["metrics=f1", "callbacks.checkpoint.monitor=val/f1", "callbacks.checkpoint.mode=min"],
                            "it must be 'max'"),
    "metrics of a module": ([*LIT, "metrics=f1"], "which logs its own"),
    "a rate that a module does not take": ([*LIT, "optimizer.lr=0.1"], "optimizer.lr=0.1: the model is a Lightning"),
    "a schedule of ours for a module": ([*LIT, "scheduler=cosine"], "scheduler=cosine: the model is a Lightning"),
    "weights that are not there": (["weights=nowhere"], "nowhere"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_in_one_line(own, cli, capsys, name):
    arguments, said = REFUSED[name]
    assert cli(*arguments, main=validate.main) == 2
    message = capsys.readouterr().err
    assert said in message
    assert len(message.strip().splitlines()) == 1, message


def test_what_a_file_has_imported_is_none_of_its_own(own, cli, capsys):
    for target, theirs in (("model._target_=my_nets.Zzz", "focal"), ("model.loss._target_=my_nets.zzz", "focal")):
        assert cli(NET, *RES[1:], target, main=validate.main) == 2
        allowed = capsys.readouterr().err.partition("allowed: ")[2]
        assert theirs in allowed
        assert not {"nn", "torch", "F", "Any", "Tensor"} & set(allowed.strip().split(", ")), allowed


ACCEPTED = {
    "lazy layers": [*RES, "model.lazy=true"],
    "a function that makes a net": [NET, "model._target_=my_nets.make", "model.width=3"],
    "a class of PyTorch as the loss": [*RES, "model.loss._target_=torch.nn.MultiMarginLoss", "model.loss.p=2"],
    "a function of PyTorch as the loss": [*RES, "model.loss._target_=torch.nn.functional.multi_margin_loss"],
    "torchvision's": [NET, "model._target_=torchvision.models.squeezenet1_1", "model.adapt_input=true"],
    "a task by name": ["metrics.f1._target_=torchmetrics.F1Score", "metrics.ece._target_=torchmetrics.CalibrationError",
                       "callbacks.checkpoint.monitor=val/ece", "callbacks.checkpoint.mode=min"],
    "early stopping by a metric": ["metrics=auroc", "callbacks=[checkpoint,early_stopping]",
                                   "callbacks.early_stopping.monitor=val/auroc", "callbacks.early_stopping.mode=max"],
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_can_work_is_accepted(own, cli, capsys, name):
    assert cli(*ACCEPTED[name], main=validate.main) == 0, capsys.readouterr().err


def test_a_file_beside_the_configuration_folder_is_found(cli, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "beside_nets", raising=False)
    (tmp_path / "project" / "conf" / "model").mkdir(parents=True)
    (tmp_path / "project" / "conf" / "model" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [net]\nmodel: {_target_: beside_nets.make, width: 3}\n"
    )
    shutil.copy(Path(__file__).parent.parent / "my_nets.py", tmp_path / "project" / "beside_nets.py")
    folder = ["--config-dir", str(tmp_path / "project" / "conf")]
    assert cli(*folder, "model=mine", main=validate.main) == 0, capsys.readouterr().err
