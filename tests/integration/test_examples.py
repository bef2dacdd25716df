"""The examples and the README's Python run as they stand, on tiny data."""

import inspect
import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import mnist_cnn

ROOT = Path(__file__).parents[2]
ONE_SCREEN = ROOT / "examples" / "train_in_one_screen.py"
NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def shrink(package: Any, overrides: list[str], data: dict[str, Any], replace: Callable[[Any, str, Any], None]) -> None:
    """Makes the calls train on one batch and read tiny data, whatever they ask for."""
    fit, fit_many, images = package.fit, package.fit_many, package.MNISTDataModule
    replace(package, "fit", lambda *given, **settings: fit(*given, *overrides, **settings))
    replace(package, "fit_many", lambda *given, **settings: fit_many(*given, *overrides, **settings))
    replace(package, "MNISTDataModule", lambda **options: images(**(options | data)))


@pytest.fixture
def small(tiny_overrides: list[str], tiny: Path) -> tuple[list[str], dict[str, Any]]:
    """What `shrink` adds to a call and to the data module."""
    overrides = [word for word in tiny_overrides if not word.startswith("figures=")]
    root = {"dataset": "custom", "root": str(tiny), "md5": None, "validation_size": 80}
    return [*overrides, "debug=one_batch"], root


@pytest.fixture
def shrunk(small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The package, shrunk, in a fresh folder."""
    monkeypatch.chdir(tmp_path)
    shrink(mnist_cnn, *small, monkeypatch.setattr)
    return mnist_cnn


def test_training_fits_on_one_screen(shrunk, tmp_path, capsys):
    assert len(ONE_SCREEN.read_text().splitlines()) <= 40
    runpy.run_path(str(ONE_SCREEN))  # under another name than __main__: there is no guard
    printed = capsys.readouterr().out
    assert "of the test images are read right." in printed
    assert printed.count("The net reads ") == 3
    assert len(list(tmp_path.glob("runs/sequential/*/curves.png"))) == 1


@pytest.mark.slow
def test_the_notebook_runs_and_prints_nothing_odd(small, monkeypatch, tmp_path):
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    start = f"from typing import *\nfrom collections.abc import *\nimport mnist_cnn\n{inspect.getsource(shrink)}"
    start += f"shrink(mnist_cnn, *{small!r}, setattr)"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(start))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr" or output.output_type == "error"]
    shown = [output.get("text") or output.data.get("text/plain", "") for output in outputs]
    assert not [text for text in shown if "warning" in text.lower() or "install" in text or not text.strip()]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert len(list(tmp_path.glob("runs/multirun/*/*/metrics.json"))) == 2
    [log_file] = tmp_path.glob("runs/gap/*/train.log")
    assert all(words in log_file.read_text() for words in ("conv_1 (Conv2d)", "test (last weights, epoch"))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.slow
def test_the_python_of_the_readme_runs(shrunk, tmp_path, block):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    exec(compile(block, "README.md", "exec"), {})
