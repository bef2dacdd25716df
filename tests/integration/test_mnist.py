"""The real MNIST, fetched as a user's would be, and the README's story."""

import pytest
from conftest import metrics_of

from mnist_cnn import evaluate, train


@pytest.mark.parametrize("share", [0.5, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_two_epochs_on_mnist_reach_98_percent(cli, run_of, capsys, share):
    """Half of each epoch's batches is enough for it."""
    assert cli("model=gap", "trainer.max_epochs=2", "trainer=cpu", f"trainer.limit_train_batches={share}") == 0
    run = run_of()
    metrics = metrics_of(run)
    assert metrics["protocol"]["train_images"] == 55_000
    assert metrics["protocol"]["test_images"] == 10_000
    assert metrics["figures"]["test/acc"] >= 0.98
    capsys.readouterr()
    assert cli(f"run_dir={run.path}", main=evaluate.main) == 0
    assert f"test accuracy {metrics['figures']['test/acc']:.2%}" in capsys.readouterr().out


def test_the_readmes_story_runs(cli, tiny_overrides, run_of, capsys):
    """Train, evaluate, continue: each with the arguments the README shows, on tiny data."""
    assert cli("model=bn_dropout", "trainer.max_epochs=1", *tiny_overrides, main=train.main) == 0
    run = run_of()
    assert cli(f"run_dir={run.path}", main=evaluate.main) == 0
    assert cli(f"resume={run.path}", "trainer.max_epochs=2", main=train.main) == 0
    assert " 2/2 " in capsys.readouterr().out
