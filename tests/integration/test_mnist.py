"""The real MNIST, fetched as a user's would be, and the README's story."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import metrics_of

from mnist_cnn import evaluate, train

ROOT = Path(__file__).parents[2]


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


def test_an_installed_wheel_trains_from_any_folder(tmp_path, tiny_overrides):
    def run(*command: str, **options: object) -> str:
        done = subprocess.run([*command], capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--target", str(site), str(ROOT))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = site / "bin" / "mnist-cnn-train"
    arguments = ["model=sequential", "debug=one_batch", "speed=plain", *tiny_overrides]  # nothing to compile
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    output = run(sys.executable, str(script), *arguments, cwd=elsewhere, env=environment)
    assert "test (best weights" in output
    code = "import mnist_cnn; print(mnist_cnn.__file__)"
    assert run(sys.executable, "-c", code, cwd=elsewhere, env=environment).startswith(str(site))
