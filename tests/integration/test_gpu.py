"""The same runs on a CUDA GPU; skipped where there is none."""

import pytest
import torch
from conftest import metrics_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_a_gpu_reaches_98_percent_in_two_epochs(cli, run_of, precision):
    assert cli("model=gap", "trainer=gpu", f"trainer.precision={precision}", "trainer.max_epochs=2") == 0
    metrics = metrics_of(run_of())
    assert metrics["figures"]["test/acc"] >= 0.98
    assert metrics["hardware"]["device"] == torch.cuda.get_device_name()


def test_a_gpu_run_resumes(cli, tiny_overrides, tmp_path):
    on_gpu = [*tiny_overrides[:-1], "trainer=gpu"]
    assert cli("model=bn_dropout", *on_gpu, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run") == 0
    assert cli(f"resume={tmp_path}/run", "trainer.max_epochs=2") == 0
