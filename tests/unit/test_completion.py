"""Tab completion: the words that bash gets for an unfinished line."""

import subprocess
import sys

import pytest

from mnist_cnn.config.completion import replies

TRAIN = "python -m mnist_cnn.train "


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (TRAIN + "mod", ["model.", "model="]),
        (TRAIN + "model=g", ["gap"]),
        (TRAIN + "experiment=und", ["under_15k/bn_dropout_14k"]),
        (TRAIN + "model=gap optimizer.", ["optimizer._target_=", "optimizer.lr=", "optimizer.betas="]),
        (TRAIN + "optimizer=sgd optimizer.m", ["optimizer.momentum="]),
        (TRAIN + "trainer.max_", ["trainer.max_epochs="]),
        (TRAIN + "model=gap model.", ["model.stages="]),
        (TRAIN + "model=gap scheduler.warm", ["scheduler.warmup_fraction="]),
        (TRAIN + "test_w", ["test_weights="]),
        ("mnist-cnn-search tri", ["trials="]),
        ("python -m mnist_cnn.evaluate run_", ["run_dir="]),
        (TRAIN + "nothing_like_it", []),
        (TRAIN + "data=comm", []),
    ],
)
def test_what_can_follow(line, expected):
    found = replies(line)
    assert set(expected) <= set(found) if expected else not found


def test_own_configurations_are_offered(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("_target_: my.Net\nwidth: 3\n")
    assert replies(f"{TRAIN}--config-dir {tmp_path} model=mi") == ["mine"]
    assert "model.width=" in replies(f"{TRAIN}--config-dir {tmp_path} model=mine model.w")


def test_it_imports_nothing_large():
    code = "import sys, mnist_cnn.config.completion; sys.exit(not {'torch', 'hydra'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bash_completes_with_it(tmp_path):
    script = f"""
        eval "$({sys.executable} -m mnist_cnn.config.completion bash)"
        COMP_LINE="{sys.executable} -m mnist_cnn.train model=bn"; COMP_POINT=${{#COMP_LINE}}
        _mnist_cnn {sys.executable}; echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["bn_dropout"]
