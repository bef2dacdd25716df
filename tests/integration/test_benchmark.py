"""The benchmark runs from start to page; what it measures is not asserted."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.slow
def test_the_benchmark_measures_everyone_and_writes_its_page(tmp_path):
    call = ["images=640", "epochs=2", "repeats=1", "nets=vanilla_10k", f"pages={tmp_path}"]
    done = subprocess.run([sys.executable, str(SCRIPTS / "benchmark.py"), *call], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "speed.json").read_text())
    found = measured["turns"]["vanilla_10k"]
    assert {"mnist_cnn", "tutorial Lightning", "bare PyTorch", "bare PyTorch, same tricks"} <= set(found)
    assert all(len(run["epochs"]) == 2 and 0 < run["start"] < run["seconds"] for [run] in found.values())
    page = (tmp_path / "speed.md").read_text()
    assert all(f"| {name} |" in page for name in found)
    assert (tmp_path / "speed.png").exists()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("image=5", "'image=5': give images=..., epochs="),
        ("nets=gpa", "nets=gpa: not among bn_dropout_14k, "),
    ],
)
def test_what_it_does_not_know_is_refused(monkeypatch, argument, words):
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", argument])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SCRIPTS / "benchmark.py"), run_name="__main__")
    assert words in str(stopped.value.code)  # a text: printed as an error, with exit code 1
