"""The real MNIST, fetched as a user's would be, and the README's commands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import metrics_of

from mnist_cnn import evaluate, train, validate
from mnist_cnn.runs.directory import Run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]


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


def test_the_readme_has_commands():
    assert any(c.startswith("make train") for c in COMMANDS)
    assert any("mnist_cnn.train" in c for c in COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "mnist_cnn.train" in c and "resume=" not in c])
def test_readme_training_commands_run(cli, tiny_overrides, tmp_path, command):
    """Each as it stands there, on one batch of tiny data."""
    words = shlex.split(command.partition("mnist_cnn.train")[2])
    if "-m" in words or "..." in words:  # tests/integration/test_sweep.py runs sweeps
        assert cli(*[word for word in words if word != "..."], *tiny_overrides, main=validate.main) == 0
        return
    assert cli(*words, *tiny_overrides, "debug=one_batch") == 0
    runs = [Run(file.parent) for file in tmp_path.rglob("metrics.json")]
    assert runs or "--help" in words
    assert all(run.completed for run in runs)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_readme_make_commands_exist(command):
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


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
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(ROOT))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = site / "bin" / "mnist-cnn-train"
    arguments = ["model=sequential", "debug=one_batch", *tiny_overrides]
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    output = run(sys.executable, str(script), *arguments, cwd=elsewhere, env=environment)
    assert "test (best weights" in output
    code = "import mnist_cnn; print(mnist_cnn.__file__)"
    assert run(sys.executable, "-c", code, cwd=elsewhere, env=environment).startswith(str(site))
