"""Whatever net, loss, metric or LightningModule a user brings: it trains, resumes, is swept, loads."""

import csv
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import torch
from conftest import metrics_of
from test_resume import killed_in_epoch, same

import mnist_cnn as mc
import mnist_cnn.search.__main__ as search
from mnist_cnn import evaluate
from mnist_cnn.config.module import build_module
from mnist_cnn.errors import ConfigError
from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run
from mnist_cnn.search.storage import open_storage

RES = ["model=net", "model._target_=my_nets.Res", "model.width=4"]
LIT = ["model=net", "model._target_=my_nets.Lit", "callbacks.checkpoint.monitor=val/top1"]
FOCAL = "model.loss._target_=my_nets.focal"
KINDS = {
    "net": [*RES, FOCAL, "metrics=[f1,per_class]", "callbacks.checkpoint.monitor=val/f1"],
    "module": LIT,
}


@pytest.mark.filterwarnings("ignore:`LightningModule.configure_optimizers` returned `None`")
@pytest.mark.parametrize("name", ["TwoOptimizers", "Untrained"])
def test_a_module_steps_by_as_many_optimizers_as_it_has(own, cli, tiny_overrides, tmp_path, name):
    call = ["model=net", f"model._target_=my_nets.{name}", LIT[2], *tiny_overrides, "trainer.max_epochs=2"]
    assert cli(*call, "hydra.run.dir=run") == 0
    rows = Run(tmp_path / "run").history()
    assert (rows[1]["val/loss"] < rows[0]["val/loss"]) == (name == "TwoOptimizers")


def test_a_class_is_given_as_it_is(own, tiny_overrides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    my_nets = importlib.import_module("my_nets")
    parts = {"model._target_": my_nets.Res, "model.width": 4, "model.loss._target_": my_nets.focal}
    run = mc.fit("model=net", "trainer.max_epochs=1", *tiny_overrides, **parts).run
    assert run.config().model._target_ == "my_nets.Res"
    with pytest.raises(ConfigError, match=r"model\._target_ = <"):
        mc.check("model=net", *tiny_overrides, **{"model._target_": lambda: None})


def test_a_softmax_before_cross_entropy_is_told(own, cli, tiny_overrides, tmp_path, capsys):
    layers = "nn.Flatten(), nn.Linear(784, 10)"
    for name, last in (("Soft", ", nn.Softmax(1)"), ("Hard", "")):
        code = f"class {name}(nn.Sequential):\n    def __init__(this):\n        super().__init__({layers}{last})\n"
        with (tmp_path / "students.py").open("a") as file:
            file.write(f"from torch import nn\n{code}")
    for name in ("Soft", "Hard"):
        assert cli("model=net", f"model._target_=students.{name}", "debug=one_batch", *tiny_overrides) == 0
        assert ("leave the net's out" in capsys.readouterr().out) == (name == "Soft")
    assert cli("model=net", "model._target_=students.Soft", "model.loss=mse", "debug=one_batch", *tiny_overrides) == 0
    assert "leave the net's out" not in capsys.readouterr().out


def test_a_loss_that_never_was_a_number_is_not_the_learning_rates(own, cli, tiny_overrides, tmp_path, capsys):
    (tmp_path / "lost.py").write_text("def loss(logits, labels):\n    return (logits.sum() - 1e9).log()\n")
    assert cli("model=gap", "model.loss._target_=lost.loss", *tiny_overrides) == 1
    words = "loss is nan in epoch 1, step 0; no weight has changed yet, so it is the loss, the net or the images"
    assert words in capsys.readouterr().err


def test_the_printed_recipe_names_an_own_loss(own, cli, tiny_overrides, tmp_path, capsys):
    assert cli(*RES, FOCAL, "+model.loss.gamma=1.5", "debug=one_batch", *tiny_overrides) == 0
    assert ", loss focal (gamma 1.5), batch" in " ".join(capsys.readouterr().out.split())


def test_code_that_changed_after_a_run_is_told(own, cli, tiny_overrides, tmp_path, capsys, caplog):
    run = f"hydra.run.dir={tmp_path}/run"
    assert cli(*RES, "scheduler=constant", *tiny_overrides, "trainer.max_epochs=1", run) == 0
    assert set(Run(tmp_path / "run").record().own_code) == {"my_nets"}
    with (tmp_path / "my_nets.py").open("a") as file:
        file.write("# edited\n")
    capsys.readouterr()
    assert cli("run_dir=run", main=evaluate.main) == 0
    assert "my_nets.py: changed after it was imported; what runs is the old code" in capsys.readouterr().out
    importlib.reload(sys.modules["my_nets"])
    assert cli("run_dir=run", main=evaluate.main) == 0
    printed = capsys.readouterr().out
    assert "my_nets.py: changed since the run was trained" in printed
    assert "imported" not in printed
    mc.load("run")
    assert "changed since the run was trained" in caplog.text
    before = Run(tmp_path / "run").record().own_code
    for epochs in (2, 3):
        assert cli("resume=run", f"trainer.max_epochs={epochs}") == 0
        assert ("my_nets.py: changed since the run was trained" in capsys.readouterr().out) == (epochs == 2)
        record = Run(tmp_path / "run").record()
        assert record.earlier_code == {"my_nets": [before["my_nets"]]}
        assert record.own_code != before
    assert cli("run_dir=run", main=evaluate.main) == 0
    assert "changed" not in capsys.readouterr().out  # what was resumed has been trained by the code of now


@pytest.mark.parametrize(("kind", "name"), [("net", "f1"), ("module", "top1")])
def test_it_trains_resumes_bit_for_bit_and_loads_alone(
    own, cli, tiny_overrides, tmp_path, monkeypatch, capsys, kind, name
):
    recipe = [*KINDS[kind], *tiny_overrides, "trainer.max_epochs=2", "trainer.limit_train_batches=4"]
    assert cli(*recipe, f"hydra.run.dir={tmp_path / 'whole'}") == 0
    printed, whole = capsys.readouterr().out, Run(tmp_path / "whole")
    record, history = metrics_of(whole), whole.history()
    figures = record["figures"]
    for split in ("val", "test"):
        assert f"{figures[f'{split}/{name}']:.4f}" in printed
    best = max(history, key=lambda row: row[f"val/{name}"])
    assert (figures["best_epoch"], figures[f"best/{name}"]) == (best["epoch"], best[f"val/{name}"])
    assert (record["monitor"], record["mode"]) == (f"val/{name}", "max")
    assert record["parameters"]["trainable"] > 0
    if kind == "net":
        assert {f"val/class_acc_{i}" for i in range(10)} < set(history[0])
        assert record["model"] == "Res"
    else:
        assert "the module's own, batch 32" in printed
        assert f"train_loss: {figures['train_loss']:.4f}" in printed  # in no column of the others
        assert "train_loss_step" not in history[0]

    parts = killed_in_epoch(1, cli, monkeypatch, tmp_path / "parts", recipe)
    assert cli(f"resume={parts.path}") == 0
    same(whole, parts)

    alone = shutil.copy(whole.checkpoint("last"), tmp_path / "alone.ckpt")
    shutil.rmtree(parts.path)
    net = mc.load(alone)
    assert net(torch.rand(3, 1, 28, 28)).shape == (3, 10)
    capsys.readouterr()
    assert cli(f"run_dir={whole.path}", main=evaluate.main) == 0
    assert f"{name} {figures[f'test/{name}']:.4f}" in capsys.readouterr().out


def test_the_figures_of_torchmetrics_are_those_of_the_predictions(own, cli, tiny_overrides, tmp_path):
    assert cli(*RES, *tiny_overrides, "metrics=[f1,per_class]", "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    lines = (tmp_path / "run" / "predictions.csv").read_text().splitlines()[1:]
    pairs = [tuple(int(number) for number in line.split(",")[1:3]) for line in lines]
    right = [sum(a == b == c for a, b in pairs) for c in range(10)]
    labels, predicted = ([sum(pair[i] == c for pair in pairs) for c in range(10)] for i in (0, 1))
    f1 = sum(2 * hit / max(1, n + m) for hit, n, m in zip(right, labels, predicted, strict=True)) / 10
    figures = metrics_of(Run(tmp_path / "run"))["figures"]
    assert figures["test/f1"] == pytest.approx(f1, abs=1e-6)
    assert [figures[f"test/class_acc_{i}"] for i in range(10)] == pytest.approx(
        [hit / n for hit, n in zip(right, labels, strict=True)]
    )


def test_weights_of_a_run_a_new_head_and_frozen_layers(own, cli, tiny_overrides, tmp_path, capsys):
    small = [*tiny_overrides, "trainer.max_epochs=1", "trainer.limit_train_batches=3"]
    assert cli(*RES, *small, "hydra.run.dir=first") == 0
    start = [f"weights={tmp_path / 'first'}", "freeze=[first.*,second.weight]"]
    assert cli(*RES, *small, *start, "hydra.run.dir=second", "optimizer.lr=0.1") == 0
    printed = capsys.readouterr().out
    assert f"11 of 11 tensors from {tmp_path / 'first'}" in printed
    assert "3 of 8 weights, 1,982 numbers are trained" in printed
    first, second = (load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("first", "second"))
    kept = {key for key, value in first["state_dict"].items() if torch.equal(value, second["state_dict"][key])}
    assert {"net.first.weight", "net.first.bias", "net.second.weight"} <= kept
    assert "net.head.weight" not in kept
    assert cli(*RES, *small, start[0], "model.width=6", "hydra.run.dir=third") == 0
    assert "2 of 11 tensors" in capsys.readouterr().out  # the head's bias and the number of batches
    assert cli(*RES, *small, "freeze=[frist.*]", "hydra.run.dir=fourth") == 2
    assert "no weight is named 'frist.*'" in capsys.readouterr().err
    assert cli(*RES, *small, "weights=my_nets.py", "hydra.run.dir=fifth") == 2
    assert "my_nets.py: damaged or not a checkpoint" in capsys.readouterr().err


def test_other_numbers_of_classes(own):
    options = {"_target_": "my_nets.Res", "width": 2}
    assert build_module(options, 26)(torch.zeros(2, 1, 28, 28)).shape == (2, 26)
    gap = {"_target_": "mnist_cnn.models.gap.GAPCNN", "stages": [[2], [2]]}
    model = build_module(gap, 26)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 26)
    assert model.confusion.num_classes == 26


def test_a_net_for_colour_takes_grey_as_three_equal_channels(own):
    torch.manual_seed(0)
    colour = build_module({"_target_": "my_nets.Colour"}).net
    images = torch.rand(2, 1, 28, 28)
    expected = colour(images.repeat(1, 3, 1, 1))
    torch.manual_seed(0)
    adapted = build_module({"_target_": "my_nets.Colour", "adapt_input": True}).net
    torch.testing.assert_close(adapted(images), expected)


def test_class_weights_and_smoothing_count_while_training_alone():
    linear = {"_target_": "mnist_cnn.models.sequential.SequentialCNN", "layers": ["flatten", {"dense": 10}]}
    weights = [0.0] * 5 + [1.0] * 5
    model = build_module(linear | {"class_weights": weights})
    logits, labels = torch.randn(10, 10), torch.arange(10)
    half = torch.nn.functional.cross_entropy(logits[5:], labels[5:])
    whole = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(model.loss_of(logits, labels, "train"), half)
    torch.testing.assert_close(model.loss_of(logits, labels, "val"), whole)


def test_a_mistake_in_the_users_code_shows_their_lines(own, cli, tiny_overrides, tmp_path, capsys):
    call = ["model=net", "model._target_=my_nets.BreaksInTraining", "model.width=2", "trainer.max_epochs=2"]
    assert cli(*call, *tiny_overrides, "hydra.run.dir=run") == 1
    message = capsys.readouterr().err
    assert f"resume={tmp_path / 'run'}" in message
    assert 'raise ValueError("my own mistake")' in message
    assert "mnist_cnn/" not in message.replace(str(tmp_path), "")
    assert message.rstrip().endswith("ValueError: my own mistake")
    record = metrics_of(Run(tmp_path / "run"))
    assert record["status"] == "failed"
    assert record["error"].endswith("my own mistake")
    assert "pytorch_lightning" in Run(tmp_path / "run").log_file.read_text()  # the whole traceback


def test_a_module_without_a_test_step_reads_no_test_images(own, cli, tiny_overrides, tmp_path, capsys):
    untested = [*LIT, "model._target_=my_nets.Untested", *tiny_overrides, "trainer.max_epochs=1"]
    assert cli(*untested, "hydra.run.dir=run") == 0
    assert metrics_of(Run(tmp_path / "run"))["protocol"]["test"] == "never"
    assert cli("run_dir=run", main=evaluate.main) == 2
    assert "my_nets.Untested has no test_step" in capsys.readouterr().err


def test_a_module_without_a_validation_step_says_which_weights_are_tested(own, cli, tiny_overrides, tmp_path, capsys):
    blind = ["model=net", "model._target_=my_nets.Blind", *tiny_overrides, "trainer.max_epochs=1"]
    assert cli(*blind, "test_weights=best", "hydra.run.dir=run") == 0
    printed = capsys.readouterr().out
    words = "no validation, for Blind has no validation_step: the weights of the "
    assert f"{words}last epoch" in printed
    assert "custom, 240 training images (files" in printed
    record = metrics_of(Run(tmp_path / "run"))
    assert f"{words}last epoch" in record["protocol"]["summary"]
    assert record["protocol"]["val_images"] is None
    best = ["callbacks.checkpoint.monitor=train_loss", "callbacks.checkpoint.mode=min", "test_weights=best"]
    assert cli(*blind, *best, "hydra.run.dir=best") == 0
    assert f"{words}best train_loss" in metrics_of(Run(tmp_path / "best"))["protocol"]["summary"]
    assert (record["test_weights"], record["figures"]["best_epoch"]) == ("last", None)
    assert cli(*blind, "callbacks.checkpoint.monitor=val/top1") == 2
    assert "callbacks.checkpoint.monitor = 'val/top1': my_nets.Blind has no validation_step" in capsys.readouterr().err
    assert cli(*blind, "space=none", "space.model.width={low: 2, high: 4}", "trials=1", main=search.main) == 2
    assert "my_nets.Blind has no validation_step: a search needs validation" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_does_not_vary_what_a_module_does_not_take(own, cli, tiny_overrides, tmp_path, capsys):
    call = [*LIT, *tiny_overrides, "trainer.max_epochs=1", "trials=1"]
    assert cli(*call, "space.data.batch_size=null", main=search.main) == 2
    assert "space.optimizer.lr: the model is a LightningModule" in capsys.readouterr().err
    assert cli(*call, "space=none", "scheduler=cosine", main=search.main) == 2
    assert "scheduler=cosine: the model is a LightningModule" in capsys.readouterr().err
    assert cli(*call, "space=null", "space.model.width={low: 2, high: 4}", "jobs=1", main=search.main) == 0
    printed = capsys.readouterr().out
    assert "trial 0 is best" in printed
    assert ": completed, val/top1 0." in printed


@pytest.mark.slow
def test_the_example_is_trained_swept_and_predicted_by_an_installed_package(tmp_path, tiny_overrides):
    root, site, project = Path(__file__).parents[2], tmp_path / "site", tmp_path / "project"
    shutil.copytree(root / "examples" / "own_model", project)
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=project, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(root)]
    subprocess.run([sys.executable, *pip], check=True)
    train = [str(site / "bin" / "mnist-cnn-train"), "--config-dir", "conf", "model=residual", *tiny_overrides]
    assert "f1" in run(*train, "trainer.max_epochs=1", "model.width=2", "hydra.run.dir=one")
    run(*train, "trainer.max_epochs=2", "-m", "model.width=2,3", "run_root=many")
    [plan] = (project / "many").rglob("sweep.yaml")
    with (plan.parent / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["model.width"] for row in rows) == ["2", "3"]
    assert all(0 <= float(row["val_f1"]) <= 1 and float(row["val_ece"]) >= 0 for row in rows)
    assert re.fullmatch(r"\[\d \d\]\n", run("predict.py", str(plan.parent / "1")))


@pytest.mark.slow
def test_a_search_follows_what_the_checkpoints_follow(own, cli, tiny_overrides, tmp_path):
    followed = ["metrics=calibration", "callbacks.checkpoint.monitor=val/ece", "callbacks.checkpoint.mode=min"]
    call = [*RES, *followed, "trainer.max_epochs=1", "space.data=null", "trials=2", "test_weights=best"]
    assert cli(*call, *tiny_overrides, main=search.main) == 0
    [file] = tmp_path.rglob("study.db")
    for trial in optuna.load_study(study_name="search", storage=open_storage(f"sqlite:///{file}")).trials:
        figures = metrics_of(Run(file.parent / str(trial.number)))["figures"]
        assert trial.value == -figures["best/ece"]
