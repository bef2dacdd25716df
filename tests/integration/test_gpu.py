"""The same runs on a CUDA GPU; skipped where there is none."""

import logging
import warnings

import pytest
import torch
from conftest import metrics_of

from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_a_gpu_reaches_98_percent_in_two_epochs(cli, run_of, precision):
    assert cli("model=gap", "trainer=gpu", f"trainer.precision={precision}", "trainer.max_epochs=2") == 0
    metrics = metrics_of(run_of())
    assert metrics["figures"]["test/acc"] >= 0.98
    assert metrics["hardware"]["device"] == torch.cuda.get_device_name()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_gpu_run_resumes_and_ends_as_the_uninterrupted_one(cli, tiny_overrides, tmp_path, precision):
    """Sums on a GPU may be added up in another order each time, so the figures agree closely, not bit for bit."""
    on_gpu = [
        *(o for o in tiny_overrides if o != "trainer=cpu"),
        "trainer=gpu",
        "figures=false",
        f"trainer.precision={precision}",
    ]
    recipe = ["model=bn_dropout", *on_gpu]
    assert cli(*recipe, "trainer.max_epochs=4", f"hydra.run.dir={tmp_path}/whole") == 0
    assert cli(*recipe, "trainer.max_epochs=2", f"hydra.run.dir={tmp_path}/parts") == 0
    assert cli(f"resume={tmp_path}/parts", "trainer.max_epochs=4") == 0
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    assert [(row["epoch"], row["lr"], row["images"]) for row in parts.history()] == [
        (row["epoch"], row["lr"], row["images"]) for row in whole.history()
    ]
    states = [load_checkpoint(run.checkpoint("last")) for run in (whole, parts)]
    assert states[0]["global_step"] == states[1]["global_step"]
    figures, resumed = (run.record().results.model_dump() for run in (whole, parts))
    for name, value in figures.items():
        if not name.startswith("best"):  # which of several perfect epochs is the best, rounding decides
            assert resumed[name] == pytest.approx(value, rel=0.05, abs=0.02), name


RECORDED = ["model=gap", "trainer=gpu", "figures=false", "trainer.max_epochs=2"]


@pytest.mark.parametrize(
    "more",
    [[], ["trainer.precision=bf16-mixed"], ["optimizer=sgd"], ["optimizer=muon"], ["trainer.gradient_clip_val=1"],
     ["callbacks=[checkpoint,ema]"], ["model=bn_dropout", "model.loss=mse"], ["augment=none"], ["teacher=gap"]],
)  # fmt: skip
def test_a_recorded_step_learns_what_the_usual_one_learns(cli, tiny_overrides, tmp_path, caplog, more):
    """In float32 the first losses agree closely; later ones drift apart by rounding."""
    caplog.set_level(logging.INFO)
    recipe = [*RECORDED, *(o for o in tiny_overrides if o != "trainer=cpu"), *more]
    assert cli(*recipe, "speed.cuda_graph=false", f"hydra.run.dir={tmp_path}/usual") == 0
    assert cli(*recipe, f"hydra.run.dir={tmp_path}/recorded") == 0
    assert "no CUDA graph" not in caplog.text
    usual, recorded = (Run(tmp_path / name).history() for name in ("usual", "recorded"))
    assert recorded[0]["train/loss"] == pytest.approx(usual[0]["train/loss"], rel=0.1)
    assert recorded[1]["train/loss"] == pytest.approx(usual[1]["train/loss"], rel=0.2, abs=0.05)
    states = [load_checkpoint(Run(tmp_path / name).checkpoint("last")) for name in ("usual", "recorded")]
    assert states[0]["global_step"] == states[1]["global_step"]
    assert states[0]["lr_schedulers"] == states[1]["lr_schedulers"]


class AsksForANumber(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * float(images.mean() > -1)


AsksForANumber.__module__ = "torchvision.somewhere"  # as if it were known to do all on the device


@pytest.mark.parametrize("drawn", [0.0, 0.5])
def test_a_step_that_cannot_be_recorded_trains_as_ever_and_says_why(
    cli, tiny_overrides, monkeypatch, tmp_path, caplog, drawn
):
    """Also where random numbers were being recorded when it broke off."""
    from mnist_cnn.speed.measures import Speed

    apply = Speed.apply

    def spoiled(self, model, *options):
        apply(self, model, *options)
        model.net = torch.nn.Sequential(torch.nn.Dropout(drawn), AsksForANumber(), model.net)

    monkeypatch.setattr(Speed, "apply", spoiled)
    caplog.set_level(logging.INFO)
    overrides = [o for o in tiny_overrides if o != "trainer=cpu"]
    assert cli(*RECORDED, *overrides, f"hydra.run.dir={tmp_path}/run") == 0
    [line] = [text for text in caplog.text.splitlines() if "no CUDA graph" in text]
    assert "the step cannot be recorded" in line
    assert len(Run(tmp_path / "run").history()) == 2


def test_no_step_waits_for_the_gpu(cli, tiny_overrides, tmp_path, monkeypatch):
    """PyTorch refuses every wait here: none between the looks at the loss and the ends of epochs."""
    from mnist_cnn.speed.replay import ReplayedOptimization

    run, steps = ReplayedOptimization.run, []

    def watched(self, optimizer, batch_idx, kwargs):
        if batch_idx % 100 == 0:
            return run(self, optimizer, batch_idx, kwargs)
        steps.append(batch_idx)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it may miss some
            torch.cuda.set_sync_debug_mode("error")
        try:
            return run(self, optimizer, batch_idx, kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(ReplayedOptimization, "run", watched)
    overrides = [o for o in tiny_overrides if o != "trainer=cpu"]
    assert cli(*RECORDED, *overrides, f"hydra.run.dir={tmp_path}/run") == 0
    assert len(steps) == 14  # of eight steps in each of two epochs
