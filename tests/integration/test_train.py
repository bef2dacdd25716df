"""Real training on tiny data: what a run leaves behind, repeats, reports and survives."""

import csv
import math

import pytest
import torch
from conftest import metrics_of, write_images

from mnist_cnn import evaluate
from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run

FAST = ["model=sequential", "trainer.max_epochs=2"]


def test_a_run_learns_and_leaves_everything_behind(cli, tiny_overrides, run_of, capsys):
    assert cli("model=sequential", "trainer.max_epochs=4", *tiny_overrides) == 0
    run = run_of()
    files = {str(f.relative_to(run.path)) for f in run.path.rglob("*") if f.is_file() and f.name[0] != "."}
    assert files == {
        "config.yaml", "overrides.yaml", "metrics.csv", "metrics.json", "predictions.csv",
        "predictions_val.csv", "train.log", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
    }  # fmt: skip
    metrics = metrics_of(run)
    assert metrics["status"] == "completed"
    assert metrics["figures"]["test/acc"] > 0.9
    assert metrics["parameters"]["trainable"] == sum(
        v.numel() for k, v in load_checkpoint(run.checkpoint("last"))["state_dict"].items()
        if k.startswith("net.") and "running" not in k and "num_batches" not in k
    )  # fmt: skip
    assert metrics["protocol"]["train_images"] == 240
    assert metrics["protocol"]["test_images"] == 100
    assert metrics["versions"]["torch"] == torch.__version__.split("+")[0]
    rows = list(csv.DictReader(run.history_file.read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["train/loss"]) < float(rows[0]["train/loss"])
    assert run.config().trainer.max_epochs == 4

    printed, logged = capsys.readouterr().out, (run.path / "train.log").read_text()
    for words in (
        "26 × 26 × 16",
        " 4/4 ",
        "test images read once",
        f"{metrics['figures']['test/acc']:.2%}",
        str(run.path),
    ):
        assert words in printed
        assert words in logged


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["augment=affine", "augment.degrees=3.5"], "RandomAffine (degrees 3.5, translate 0.06, scale 0.07, shear 5)"),
        (
            [
                "augment=any",
                "augment._target_=torchvision.transforms.v2.Compose",
                "+augment.transforms=[{_target_: torchvision.transforms.v2.RandomErasing, p: 0.2}]",
            ],
            "Compose (transforms [RandomErasing (p 0.2)])",
        ),
        ([], None),
    ],
)
def test_the_augmentation_is_said_before_training(cli, tiny_overrides, capsys, overrides, said):
    assert cli(*FAST, *overrides, *tiny_overrides) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("augment ")]
    assert [line.removeprefix("augment").strip() for line in lines] == [said] * (said is not None)


def test_a_last_batch_that_batch_norm_cannot_train_on_is_refused_at_once(cli, tiny_overrides, capsys):
    """After a dense layer it sees one value per channel of one image; after a convolution many."""
    few = ["trainer.max_epochs=1", *tiny_overrides, "data.limit_train=33"]
    assert cli("model=sequential", "model.layers=[flatten,{dense:16},batch_norm,{dense:10}]", *few) == 2
    error = capsys.readouterr().err
    assert "data.batch_size = 32: the last of 33 training images is a batch of its own" in error
    assert len(error.splitlines()) == 1
    assert cli("model=sequential", "model.layers=[{conv:3},batch_norm,gap,{dense:10}]", *few) == 0


def test_the_size_of_evaluation_batches_has_no_effect_on_the_figures(cli, tiny_overrides, tmp_path):
    """A loss is a mean over images, so a short last batch counts for less: 80 = 79 + 1 images to validate on."""
    figures = []
    for size in (1000, 79):
        folder = tmp_path / str(size)
        assert cli(*FAST, *tiny_overrides, f"data.eval_batch_size={size}", f"hydra.run.dir={folder}") == 0
        figures.append(metrics_of(Run(folder))["figures"])
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)


@pytest.mark.parametrize("model", ["bn_dropout", "gap"])
def test_same_seed_same_figures_bit_for_bit_workers_included(cli, tiny_overrides, tmp_path, model):
    calls = {"first": [], "second": [], "workers": ["data.num_workers=2"], "other": ["seed=2"]}
    states = {}
    few = ["trainer.max_epochs=2", "data.limit_train=96", "data.limit_val=40", "data.limit_test=40", *tiny_overrides]
    for name, extra in calls.items():
        assert cli(f"model={model}", *few, *extra, f"hydra.run.dir={tmp_path}/{name}") == 0
        states[name] = load_checkpoint(Run(tmp_path / name).checkpoint("last"))["state_dict"]
    for name in ("second", "workers"):
        assert all(torch.equal(states["first"][key], value) for key, value in states[name].items())
        assert metrics_of(Run(tmp_path / name))["figures"] == metrics_of(Run(tmp_path / "first"))["figures"]
    assert not all(torch.equal(states["first"][key], value) for key, value in states["other"].items())


@pytest.mark.parametrize(
    "extra", [[], ["trainer.precision=bf16-mixed"], ["callbacks=[checkpoint,ema]", "callbacks.ema.decay=0.5"]]
)
@pytest.mark.parametrize("weights", ["best", "last"])
def test_evaluate_gives_what_training_printed(cli, tiny_overrides, run_of, capsys, weights, extra):
    assert cli(*FAST, f"test_weights={weights}", *tiny_overrides, *extra) == 0
    run = run_of()
    printed = capsys.readouterr().out
    figures = metrics_of(run)["figures"]
    assert cli(f"run_dir={run.path}", main=evaluate.main) == 0
    line = f"test accuracy {figures['test/acc']:.2%}, loss {figures['test/loss']:.4f}"
    assert line in capsys.readouterr().out
    assert f"{figures['test/acc']:.2%}" in printed
    assert cli(f"checkpoint={run.checkpoint(weights)}", main=evaluate.main) == 0
    assert line in capsys.readouterr().out


def test_a_short_run_is_not_tested_by_the_weights_that_it_began_with(cli, tiny_overrides, run_of):
    """30 steps: with 0.999 from the first on, an average would have 97 % of the untrained weights."""
    ema = ["callbacks=[checkpoint,ema]", "trainer.max_epochs=4", "test_weights=last"]
    assert cli("model=sequential", *ema, *tiny_overrides) == 0
    assert metrics_of(run_of())["figures"]["test/acc"] > 0.5


def test_before_an_average_begins_the_weights_are_tested_as_they_are(cli, tiny_overrides, tmp_path):
    """Of 16 steps; the last of an average over steps 14 and 15 differs."""
    calls = {
        "none": [],
        "late": ["callbacks=[checkpoint,ema]", "callbacks.ema.update_starting_at_step=99"],
        "in time": ["callbacks=[checkpoint,ema]", "callbacks.ema.update_starting_at_step=14"],
    }
    loss = {}
    for name, extra in calls.items():
        folder = tmp_path / name.replace(" ", "_")
        call = ["model=sequential", "trainer.max_epochs=2", "test_weights=last", f"hydra.run.dir={folder}", *extra]
        assert cli(*call, *tiny_overrides) == 0
        loss[name] = metrics_of(Run(folder))["figures"]["test/loss"]
    assert loss["late"] == pytest.approx(loss["none"], rel=1e-4)
    assert loss["in time"] != pytest.approx(loss["none"], rel=1e-4)


def test_a_run_that_ends_before_its_first_validation_tests_its_last_weights(cli, tiny_overrides, run_of, capsys):
    assert cli("model=vanilla", "trainer.max_steps=1", "data.batch_size=64", *tiny_overrides) == 0
    run = run_of()
    assert "ended before its first validation: the last weights are tested" in capsys.readouterr().out
    metrics = metrics_of(run)
    assert (metrics["test_weights"], metrics["test_epoch"]) == ("last", 1)
    assert cli(f"run_dir={run.path}", main=evaluate.main) == 0
    assert f"test accuracy {metrics['figures']['test/acc']:.2%}" in capsys.readouterr().out


def test_a_module_loads_from_its_checkpoint_alone(cli, tiny_overrides, run_of):
    from mnist_cnn.models.bn_dropout import BNDropoutCNN

    assert cli("model=bn_dropout", "debug=one_batch", *tiny_overrides) == 0
    checkpoint = run_of().checkpoint("last")
    module = BNDropoutCNN.load_from_checkpoint(checkpoint, weights_only=True)
    assert module.hparams["dropout"] == 0.1
    assert torch.equal(module.net[0].weight, load_checkpoint(checkpoint)["state_dict"]["net.0.weight"])


def test_watching_the_test_images_is_said_everywhere(cli, tiny_overrides, run_of, capsys):
    assert cli(*FAST, "data.validate_on=test", *tiny_overrides) == 0
    run = run_of()
    assert metrics_of(run)["protocol"]["test_images_watched"] is True
    assert metrics_of(run)["protocol"]["train_images"] == 320
    text = capsys.readouterr().out
    assert "test images watched during training" in text
    assert "chosen on the test images" in text


def test_a_diverging_loss_stops_the_run_and_keeps_the_checkpoint(cli, tiny_overrides, run_of, capsys, monkeypatch):
    from mnist_cnn.models.classifier import Classifier

    original = Classifier.loss_of

    def breaks_in_the_second_epoch(self, logits, labels, split):
        loss = original(self, logits, labels, split)
        return loss * math.nan if self.current_epoch == 1 else loss

    monkeypatch.setattr(Classifier, "loss_of", breaks_in_the_second_epoch)
    assert cli(*FAST, *tiny_overrides) == 1
    error = capsys.readouterr().err
    assert "diverged: training loss is nan in epoch 2" in error
    assert "Traceback" not in error
    run = run_of()
    assert metrics_of(run)["status"] == "failed"
    state = load_checkpoint(run.checkpoint("last"))
    assert state["epoch"] == 0
    assert all(value.isfinite().all() for value in state["state_dict"].values())


def test_a_loss_that_really_explodes_is_caught(cli, tiny_overrides, capsys):
    assert cli("model=vanilla", "optimizer.lr=1e30", "trainer.max_epochs=2", *tiny_overrides) == 1
    assert "diverged" in capsys.readouterr().err


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adadelta", "adagrad", "rmsprop"])
def test_every_optimizer_trains(cli, tiny_overrides, run_of, optimizer):
    assert cli("model=sequential", f"optimizer={optimizer}", "debug=one_batch", *tiny_overrides) == 0
    assert metrics_of(run_of())["status"] == "completed"


def falling_cosine(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


# Of 0.01, in the first step of each of three epochs: steps 0, 8 and 16 of 24.
RATES = {
    "constant": [1, 1, 1],
    "inverse_time": [1 / (1 + 0.319 * epoch) for epoch in range(3)],
    "exponential": [0.9 ** (step / 10_000) for step in (0, 8, 16)],
    "one_cycle": [0.04, *(falling_cosine((step - 6.2) / (23 - 6.2)) for step in (8, 16))],  # highest at 0.3 * 24 - 1
    "cosine": [0.5, *(falling_cosine((step - 1) / 23) for step in (8, 16))],  # one step of warm-up
    "step": [1, 0.5, 0.25],
}


@pytest.mark.parametrize("scheduler", RATES)
def test_every_schedule_changes_the_rate_as_it_says(cli, tiny_overrides, run_of, scheduler):
    call = [f"scheduler={scheduler}", *(["scheduler.step_size=1"] if scheduler == "step" else [])]
    assert cli(*FAST, "optimizer=sgd", *call, "trainer.max_epochs=3", *tiny_overrides) == 0
    rates = [float(row["lr"]) for row in csv.DictReader(run_of().history_file.read_text().splitlines())]
    close = 1e-5 if scheduler in ("one_cycle", "inverse_time") else 1e-9  # falls to 4e-6 of it; rounded to 10 decimals
    assert rates == pytest.approx([0.01 * rate for rate in RATES[scheduler]], rel=close)


def test_mse_is_keras_mean_over_classes_and_images():
    from mnist_cnn.models.sequential import SequentialCNN

    module = SequentialCNN(["flatten", {"dense": 10}], loss="mse")
    logits, labels = torch.randn(6, 10), torch.arange(6)
    expected = sum((logits[i].softmax(0)[c] - float(c == labels[i])) ** 2 for i in range(6) for c in range(10)) / 60
    assert float(module.loss_of(logits, labels, "val")) == pytest.approx(float(expected), rel=1e-5)


def test_early_stopping_ends_the_run(cli, tiny_overrides, run_of):
    stop = [
        "callbacks=[checkpoint,early_stopping]",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=9",
    ]
    assert cli("model=sequential", "trainer.max_epochs=9", *stop, *tiny_overrides) == 0
    assert metrics_of(run_of())["epochs"] == 2


@pytest.mark.parametrize("debug", ["one_batch", "overfit", "profiler"])
def test_every_debug_mode_runs(cli, tiny_overrides, run_of, debug, capsys):
    assert cli("model=sequential", f"debug={debug}", *tiny_overrides) == 0
    metrics = metrics_of(run_of())
    assert metrics["status"] == "completed"
    if debug == "overfit":
        assert metrics["figures"]["train/acc"] > 0.97
    if debug == "profiler":
        assert "Profiler Report" in capsys.readouterr().out + (run_of().path / "train.log").read_text()


def test_a_users_own_images_and_a_small_holdout(cli, tmp_path, run_of):
    write_images(tmp_path / "mine" / "letters" / "raw", train_size=100, test_size=30)
    arguments = ["data=custom", "data.dataset=letters", f"data.root={tmp_path}/mine", "data.validation_size=20"]
    assert cli("model=sequential", "debug=one_batch", "trainer=cpu", "figures=false", *arguments) == 0
    assert metrics_of(run_of())["protocol"]["dataset"] == "letters"


def test_a_run_draws_its_figures(cli, tiny_overrides, run_of):
    overrides = [o for o in tiny_overrides if o != "figures=false"]
    assert cli(*FAST, *overrides) == 0
    run = run_of()
    for name in ("curves", "confusion", "samples", "mistakes"):
        assert (run.path / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    assert "confusion.png" in (run.path / "train.log").read_text()


def test_confusion_matrix_and_predictions_agree_with_the_accuracy(cli, tiny_overrides, run_of):
    assert cli(*FAST, *tiny_overrides) == 0
    run = run_of()
    metrics = metrics_of(run)
    rows = list(csv.DictReader(run.predictions_file.read_text().splitlines()))
    counts = [[0] * 10 for _ in range(10)]
    for row in rows:
        counts[int(row["label"])][int(row["predicted"])] += 1
    assert metrics["confusion"] == counts
    right = sum(counts[i][i] for i in range(10))
    assert metrics["figures"]["test/acc"] == pytest.approx(right / 100)
    assert [row["image"] for row in rows] == [str(i) for i in range(100)]
    assert all(0.1 <= float(row["probability"]) <= 1 for row in rows)


def test_the_line_of_an_epoch_ends_with_the_rate_of_its_last_step(cli, tiny_overrides, run_of):
    """gap's schedule ends at 0.015 / 25 / 10,000; a step later it would rise again."""
    assert cli("model=gap", "trainer.max_epochs=1", *tiny_overrides) == 0
    assert "→6e-08 " in (run_of().path / "train.log").read_text()


def test_a_kernel_that_same_padding_makes_uneven_is_no_matter_for_a_warning(cli, tiny_overrides):
    layers = "model.layers=[{conv:{filters:2,kernel:4,padding:same}},gap,{dense:10}]"
    assert cli("model=sequential", layers, "trainer.max_epochs=1", "debug=one_batch", *tiny_overrides) == 0
