"""What a command imports before it answers: seconds, if it were more than it needs."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mnist_cnn

LATER = ["numba", "optuna", "tensorboard", "torch.utils.tensorboard", "onnx", "onnxruntime", "sklearn", "IPython"]
NEVER_FOR_HELP = ["torch", "numpy", "scipy", "matplotlib", "pytorch_lightning", "torchvision", "rich", *LATER]
CALL = """
import atexit, json, runpy, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules))))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def imported(*command: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", CALL, *command], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


PACKAGES = ["export", "predict", "inspect", "sweep", "search", "runs", "compare", "reproduce", "records", "demo"]


def test_the_wheel_has_every_package():
    folder = Path(mnist_cnn.__file__).parent
    packages = tomllib.loads((folder.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {f"mnist_cnn.{file.parent.name}" for file in folder.glob("*/__init__.py")}
    assert found == {*packages} - {"mnist_cnn", "mnist_cnn.conf"}


@pytest.mark.parametrize("module", ["train", "validate", "evaluate", *(f"{name}.__main__" for name in PACKAGES)])
def test_help_comes_before_what_takes_seconds(module):
    assert imported(f"mnist_cnn.{module}", "--help") & {*NEVER_FOR_HELP} == set()


@pytest.mark.slow
def test_values_are_checked_without_what_only_some_calls_need(tmp_path):
    assert imported("mnist_cnn.validate", "rehearse=false", f"data.root={tmp_path}") & {*LATER} == set()
