"""Mean and spread over seeds, from metrics.json files."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "summarize_seeds.py"


def metrics(seed: int, accuracy: float, **changes: object) -> dict:
    return {
        "status": "completed", "seed": seed, "model": "GAPCNN", "epochs": 20, "batch_size": 128,
        "precision": "32-true", "config_digest": "a", "test_weights": "last", "parameters": {"trainable": 7800},
        "protocol": {"summary": "test images read once", "train_images": 5000}, "timing": {"images_per_second": 2000.0},
        "figures": {"val/acc": accuracy, "test/acc": accuracy, "test/loss": 0.02},
    } | changes  # fmt: skip


def summary(folder: Path, *runs: dict) -> str:
    for number, run in enumerate(runs):
        (folder / f"{number}.json").write_text(json.dumps(run))
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True, check=True)
    return done.stdout


def test_mean_and_sample_standard_deviation(tmp_path):
    text = summary(tmp_path, metrics(1, 0.991), metrics(2, 0.993), metrics(3, 0.995))
    assert "99.300 ± 0.200 %" in text
    assert "99.10–99.50 %" in text
    assert "| 100,000 | 50.0 ± 0.0 |" in text
    assert len(text.strip().splitlines()) == 3


def test_runs_with_other_settings_are_kept_apart_and_a_seed_counts_once(tmp_path):
    (tmp_path / "apart").mkdir()
    two = metrics(1, 0.991, config_digest="a"), metrics(1, 0.993, config_digest="b")
    assert len(summary(tmp_path / "apart", *two).strip().splitlines()) == 4
    (tmp_path / "twice").mkdir()
    for number, run in enumerate((two[0], two[0])):
        (tmp_path / "twice" / f"{number}.json").write_text(json.dumps(run))
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path / "twice")], capture_output=True, text=True)
    assert done.returncode != 0
    assert "seed 1 twice" in done.stderr


def test_runs_of_another_kind_or_not_finished_are_kept_apart(tmp_path):
    failed, short = metrics(3, 0.5, status="failed"), metrics(4, 0.9, epochs=1)
    lines = summary(tmp_path, metrics(1, 0.991), metrics(2, 0.993), failed, short).strip().splitlines()
    assert len(lines) == 4
    assert any("99.200 ± 0.141 %" in line for line in lines)
