"""What is around a recorded step, without a GPU: here the step is called where a graph would be replayed.

On a GPU test_gpu.py trains with the graphs themselves.
"""

import logging

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run


class Watched(TorchDispatchMode):
    """Refuses what waits for the device: a number asked of a tensor."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        assert operation is not torch.ops.aten._local_scalar_dense.default, "a number is asked of a tensor"
        return operation(*arguments, **(options or {}))


class Own(pl.Callback):
    pass


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Counts the recorded sizes and the steps taken by them."""
    counts = {"recorded": 0, "replayed": 0}

    def recorded(step):
        counts["recorded"] += 1
        with Watched():
            step()

        def replay():
            counts["replayed"] += 1
            step()

        return replay

    monkeypatch.setattr("mnist_cnn.speed.cuda_graph.on_gpu", lambda device: True)
    monkeypatch.setattr("mnist_cnn.speed.cuda_graph.fits", lambda images, device: True)
    monkeypatch.setattr("mnist_cnn.speed.replay.recorded", recorded)
    return counts


SHORT = ["model=gap", "model.stages=[[2],[4]]", "trainer.max_epochs=2"]  # 240 images: seven steps of 32, one of 16


@pytest.mark.parametrize(
    "more",
    [[], ["optimizer=sgd"], ["optimizer=adamw", "optimizer.weight_decay=0.1"], ["trainer.gradient_clip_val=0.1"],
     ["+augment.degrees=20"], ["trainer.precision=bf16-mixed"], ["callbacks=[checkpoint,ema]"]],
)  # fmt: skip
def test_a_run_ends_as_without_recording(cli, tiny_overrides, tmp_path, as_on_a_gpu, more):
    recipe = [*SHORT, "speed.fused_layers=false", *tiny_overrides, *more]
    assert cli(*recipe, "speed.cuda_graph=false", f"hydra.run.dir={tmp_path}/usual") == 0
    assert as_on_a_gpu == {"recorded": 0, "replayed": 0}
    assert cli(*recipe, f"hydra.run.dir={tmp_path}/recorded") == 0
    assert as_on_a_gpu == {"recorded": 2, "replayed": 16}
    usual, recorded = Run(tmp_path / "usual"), Run(tmp_path / "recorded")
    exact = (
        "optimizer=sgd" in more or "trainer.gradient_clip_val=0.1" in more
    )  # by the same optimizer; see test_speed.py
    close = 1e-4 if exact else 0.03
    for name, value in usual.record().results.model_dump().items():
        assert recorded.record().results.model_dump()[name] == pytest.approx(value, rel=close, abs=close), name
    states = [load_checkpoint(run.checkpoint("last")) for run in (usual, recorded)]
    assert states[0]["global_step"] == states[1]["global_step"] == 16
    assert states[0]["lr_schedulers"] == states[1]["lr_schedulers"]
    for name, value in states[0]["state_dict"].items() if exact else ():
        assert states[1]["state_dict"][name].float().numpy() == pytest.approx(value.float().numpy(), abs=close), name


def test_a_recorded_run_resumes_bit_for_bit(cli, tiny_overrides, tmp_path, as_on_a_gpu):
    recipe = ["model=bn_dropout", "speed.fused_layers=false", *tiny_overrides]
    assert cli(*recipe, "trainer.max_epochs=3", f"hydra.run.dir={tmp_path}/whole") == 0
    assert cli(*recipe, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/parts") == 0
    assert cli(f"resume={tmp_path}/parts", "trainer.max_epochs=3") == 0
    assert as_on_a_gpu == {"recorded": 6, "replayed": 48}
    whole, parts = Run(tmp_path / "whole").record(), Run(tmp_path / "parts").record()
    assert parts.results == whole.results


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["+trainer.accumulate_grad_batches=2"], "gradients are accumulated"),
        (
            ["optimizer=any", "optimizer._target_=torch.optim.LBFGS", "optimizer.lr=0.1"],
            "LBFGS may compute several losses in a step",
        ),
        (["+callbacks.own._target_=test_recorded_steps.Own"], "Own may change the net between steps"),
        (["model=net", "model._target_=my_nets.Res", "model.width=2"], "may do something in Python"),
    ],
)
def test_what_cannot_be_recorded_trains_as_ever_and_says_why(
    cli, tiny_overrides, tmp_path, as_on_a_gpu, caplog, more, words
):
    caplog.set_level(logging.INFO)
    small = [] if "model=net" in more else SHORT[:2]
    assert cli(*small, "speed.fused_layers=false", *tiny_overrides, "trainer.max_epochs=1", *more) == 0
    assert as_on_a_gpu["replayed"] == 0
    [line] = [text for text in caplog.text.splitlines() if "no CUDA graph" in text]
    assert words in line
