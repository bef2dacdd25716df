"""Parts of a user's own: those that work, and those that are refused before training instead of dying in it."""

import subprocess
import sys

import pytest
import torch
from conftest import metrics_of
from torch import nn

import mnist_cnn as mc
from mnist_cnn import train, validate
from mnist_cnn.errors import Diverged
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.sequential import SequentialCNN
from mnist_cnn.runs.directory import Run
from mnist_cnn.speed.measures import Speed

NETS = """
import torch
from torch import nn
from mnist_cnn.models.classifier import Classifier


class Residual(Classifier):
    def __init__(self, width: int, **options):
        super().__init__(**options)
        self.net = Block(width)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, 10)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        x = self.first(x).relu()
        return self.head((x + self.scale * self.second(x)).mean((2, 3)))


class WithoutNet(Classifier):
    pass
"""


@pytest.fixture
def own_nets(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(NETS)
    folder = tmp_path / "myconf" / "model"
    folder.mkdir(parents=True)
    (folder / "residual.yaml").write_text("# @package _global_\nmodel:\n  _target_: own_nets.Residual\n  width: 4\n")
    monkeypatch.syspath_prepend(tmp_path)
    return ["--config-dir", str(tmp_path / "myconf"), "model=residual"]


def test_a_classifier_with_a_net_of_its_own_trains_and_loads(cli, own_nets, tiny_overrides, tmp_path, capsys):
    assert cli(*own_nets, *tiny_overrides, "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    printed = capsys.readouterr().out
    assert "first (Conv2d)" in printed
    assert "others (Block)" in printed  # its own parameter
    run = Run(tmp_path / "run")
    total = 4 * 9 + 4 + 4 * 4 * 9 + 4 + 4 * 10 + 10 + 1
    assert metrics_of(run)["parameters"] == {"total": total, "trainable": total}
    assert mc.load(run.path).predict(torch.zeros(2, 28, 28)).shape == (2,)


@pytest.mark.slow
def test_a_console_script_finds_modules_of_the_working_folder(own_nets, tmp_path):
    code = f"import sys; sys.argv[1:] = {own_nets!r}; from mnist_cnn.console_scripts import validate; validate()"
    command = [sys.executable, "-P", "-c", code]  # -P: as an installed script, without the working folder
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ok: 1 job, 1 rehearsed\n"), done.stderr


REFUSED = {
    "a classifier without a net": (["model._target_=own_nets.WithoutNet", "~model.width"], ["no `net`", "set_layers"]),
    "an optimizer for matrices alone": (
        ["optimizer._target_=torch.optim.Muon", "~optimizer.betas", "~optimizer.eps"], ["optimizer: torch.optim.Muon"],
    ),
    "somebody's own data": (["data._target_=pytorch_lightning.LightningDataModule"], ["data=own data._target_="]),
    "a rate that the optimizer refuses": (["optimizer=adadelta", "optimizer.rho=-1"], ["optimizer.rho = -1: torch"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_die_in_training_is_refused_before(cli, own_nets, capsys, name):
    arguments, said = REFUSED[name]
    assert cli(*own_nets, *arguments, main=validate.main) == 2
    message = capsys.readouterr().err
    for words in said:
        assert words in message
    assert len(message.strip().splitlines()) == 1


def test_adafactors_eps_is_its_own_affair(cli, own_nets):
    adafactor = ["optimizer._target_=torch.optim.Adafactor", "optimizer.eps=[null,0.001]", "~optimizer.betas"]
    assert cli(*own_nets, *adafactor, main=validate.main) == 0


def test_an_error_of_training_is_not_hidden_by_another(tmp_path, monkeypatch, tiny_overrides):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Diverged, match="diverged: "):
        mc.fit("model=sequential", "trainer.max_epochs=2", "optimizer.lr=1e30", *tiny_overrides)


def test_the_first_layer_has_no_layer_before_it():
    layers = ["pool", {"conv": 4}, "flatten", {"dense": {"units": 10, "activation": "relu"}}]
    model = SequentialCNN(layers)
    images = torch.rand(3, 1, 28, 28)
    expected = [type(m) for m in model.net], model(images)
    Speed(*[False] * 3, pool_first=True, fused_optimizer=False, compile=False, cuda_graph=False).apply(model)
    assert [type(m) for m in model.net] == expected[0]
    assert torch.equal(model(images), expected[1])


def test_a_library_without_the_variants_is_a_classifier_all_the_same():
    net = Classifier()
    net.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    assert [row.kind for row in net.layer_rows] == ["Flatten", "Linear"]
    assert net.layer_rows[-1].output_shape == (10,)
    assert callable(train.main)
