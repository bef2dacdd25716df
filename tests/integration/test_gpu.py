"""The same runs on a CUDA GPU; skipped where there is none."""

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
    on_gpu = [*tiny_overrides, "trainer=gpu", "figures=false", f"trainer.precision={precision}"]
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
    for name, value in whole.record().results.model_dump().items():
        assert parts.record().results.model_dump()[name] == pytest.approx(value, rel=0.05, abs=0.02), name
