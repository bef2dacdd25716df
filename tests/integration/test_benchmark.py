"""The benchmark runs from start to page; what it measures is not asserted."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mnist_cnn.speed import huge_pages

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


Script = Callable[..., tuple[int, str, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs a script in this process; exit code, standard output, standard error."""
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        code = 0
        try:
            importlib.import_module(name).main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_the_parts_of_a_step_and_the_bare_loop_use_the_package_as_it_is(script, monkeypatch, tiny_overrides):
    monkeypatch.setenv(huge_pages.VARIABLE, "1")  # which the loop would set, and leave so
    parts = importlib.import_module("benchmarks.parts")
    monkeypatch.setattr(parts, "STEPS", 6)
    code, printed, _ = script("benchmarks.parts", *tiny_overrides)
    assert code == 0
    assert {"forward, loss", "backward", "optimizer"} < set(json.loads(printed))
    bare = importlib.import_module("benchmarks.bare_pytorch")
    with bare.with_tricks({"seed": 1, "overrides": ["model=vanilla", *tiny_overrides]}) as (net, optimizer):
        assert sum(weights.numel() for weights in optimizer.param_groups[0]["params"]) == 10_524
        assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_kept_measurements_make_the_page_again(script, tmp_path):
    kept = SCRIPTS.parent / "docs" / "benchmarks"
    assert script("benchmark", f"from={kept / 'speed.json'}", f"pages={tmp_path}") == (0, "", "")
    assert (tmp_path / "speed.md").read_text() == (kept / "speed.md").read_text()


def test_a_single_epoch_is_not_left_out(script, tmp_path):
    measured = json.loads((SCRIPTS.parent / "docs" / "benchmarks" / "speed.json").read_text())
    measured["options"]["epochs"] = 1
    for found in measured["turns"].values():
        for run in (run for runs in found.values() for run in runs):
            run |= {key: run[key][:1] for key in ("epochs", "compute") if key in run}
    (tmp_path / "short.json").write_text(json.dumps(measured))
    assert script("benchmark", f"from={tmp_path / 'short.json'}", f"pages={tmp_path}") == (0, "", "")
    assert "medians over\nthe one epoch of each process" in (tmp_path / "speed.md").read_text()


@pytest.mark.parametrize("name", ["benchmark", "benchmark_sweep", "benchmark_sweep_jobs"])
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_prints_the_usage(script, name, word):
    code, printed, errors = script(name, word)
    assert (code, errors) == (0, "")
    assert f"python scripts/{name}.py [" in printed


@pytest.mark.parametrize("name", ["benchmark", "benchmark_sweep"])
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("image=5", "image: unknown option; did you mean 'images'?"),
        ("images=many", "images = 'many': must be int"),
        ("repeats=0", "repeats = 0: must be int >= 1"),
        ("gap", "'gap': give "),
    ],
)
def test_a_wrong_option_ends_in_one_line(script, name, argument, words):
    code, printed, errors = script(name, argument)
    assert (code, printed, len(errors.splitlines())) == (2, "", 1)
    assert errors.startswith(f"error: {words}")


def test_an_unknown_net_is_refused(script):
    code, printed, errors = script("benchmark", "nets=gpa")
    assert (code, printed, len(errors.splitlines())) == (2, "", 1)
    assert "nets=gpa: no such net; did you mean 'gap'?" in errors
