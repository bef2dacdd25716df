"""What version 0.1.0 left behind still works: a finished run, an interrupted one, a sweep, the results in git.

The runs were made at commit de03733 with data.root=images, below the folder of the call: see expected.json.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import read_idx, write_images
from rounding import same_rounding

import mnist_cnn as mc
import mnist_cnn.sweep.__main__ as sweep_entry
from mnist_cnn import evaluate
from mnist_cnn.config.compose import compose_named
from mnist_cnn.errors import RunError
from mnist_cnn.runs.answers import KINDS
from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.history import read_history
from mnist_cnn.runs.record import Record
from mnist_cnn.runs.settings import settings_digest

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "tests" / "fixtures" / "runs_0_1_0"
EXPECTED = json.loads((RUNS / "expected.json").read_text())
SAME = same_rounding(EXPECTED)
RESULTS = ROOT / "results"


@pytest.fixture
def folder(cli, tmp_path) -> Path:
    """The folder of the calls, with the runs and the images; `cli` has changed into it."""
    shutil.copytree(RUNS, tmp_path, dirs_exist_ok=True)
    write_images(tmp_path / "images" / "custom" / "raw")
    return tmp_path


def test_a_lone_checkpoint_of_then_says_what_it_needs(folder):
    shutil.move(folder / "finished" / "checkpoints" / "best.ckpt", folder / "lone.ckpt")
    with pytest.raises(RunError, match=r"lone\.ckpt: of version 0\.1\.0, so it needs the run directory"):
        mc.load(folder / "lone.ckpt")


def test_a_finished_run_is_measured_again(cli, folder, capsys):
    assert cli("run_dir=finished", main=evaluate.main) == 0
    assert capsys.readouterr().out.splitlines() == EXPECTED["evaluate_printed"]
    for arguments, name in (
        (["run_dir=finished"], "evaluate"),
        (["run_dir=finished", "weights=last"], "evaluate_last"),
        (["run_dir=interrupted"], "evaluate_interrupted"),
    ):
        found = evaluate.evaluate(compose_named("evaluate", arguments))
        assert found == (EXPECTED[name] if SAME else pytest.approx(EXPECTED[name], rel=1e-4)), name


def test_a_finished_runs_net_is_loaded_and_predicts(folder):
    images, labels = (read_idx(folder / "images/custom/raw" / f"t10k-{name}") for name in
                      ("images-idx3-ubyte", "labels-idx1-ubyte"))  # fmt: skip
    assert EXPECTED["figures"]["test/acc"] == 1
    for path in ("finished", "finished/checkpoints/last.ckpt"):
        assert np.array_equal(mc.load(path).predict(images), labels)


def test_an_interrupted_run_ends_as_the_uninterrupted_one_did(cli, folder):
    """Killed in its second epoch; speed=plain, which draws and rounds as it did then."""
    whole, run = Run(folder / "plain" / "finished"), Run(folder / "plain" / "interrupted")
    assert cli("resume=plain/interrupted") == 0
    recorded, record = (json.loads(each.metrics_file.read_text()) for each in (whole, run))
    rows = [[{k: v for k, v in row.items() if "seconds" not in k} for row in each.history()] for each in (whole, run)]
    weights = [load_checkpoint(each.checkpoint("last"))["state_dict"] for each in (whole, run)]
    assert weights[0].keys() == weights[1].keys()
    assert record["config_digest"] == settings_digest(whole.config())
    made_on = {"versions": recorded["versions"], "cpu": recorded["hardware"]["cpu"], "cpu_capability": "AVX512"}
    if same_rounding(made_on):
        assert record["figures"] == recorded["figures"]
        assert record["confusion"] == recorded["confusion"]
        assert rows[0] == rows[1]
        assert all(torch.equal(weights[0][key], value) for key, value in weights[1].items())
    else:
        losses = {name: value for name, value in recorded["figures"].items() if name.endswith("loss")}
        assert {name: record["figures"][name] for name in losses} == pytest.approx(losses, rel=1e-4)


def test_an_interrupted_run_with_the_fast_layers_of_then_goes_on_with_those_of_now(cli, folder):
    """Dropout's masks are others since, so that figures of such tiny images are near, not equal."""
    run = Run(folder / "interrupted")
    done = run.history()
    assert cli("resume=interrupted") == 0
    assert run.record().completed
    assert run.record().settings == settings_digest(Run(folder / "finished").config())
    assert run.config().speed.fused_layers
    rows = run.history()
    assert rows[: len(done)] == done
    assert [row["epoch"] for row in rows] == [row["epoch"] for row in Run(folder / "finished").history()]
    assert run.record().results["test/acc"] == pytest.approx(EXPECTED["figures"]["test/acc"], abs=0.05)


def test_a_sweep_is_summed_up_again(cli, folder, capsys):
    (folder / "sweep/summary.csv").unlink()
    assert cli("sweep", main=sweep_entry.main) == 0
    assert (folder / "sweep/summary.csv").read_text() == EXPECTED["sweep_summary_csv"]
    assert "2 of 2" not in capsys.readouterr().out  # no seed is lost


def test_every_kept_record_and_history_loads_and_nothing_of_it_is_lost():
    records = list(RESULTS.rglob("*.json"))
    histories = [file for file in RESULTS.rglob("seed_*.csv") if file.parent.name not in KINDS]
    assert (len(records), len(histories)) >= (234, 197)
    for file in records:
        record = Record.load(file)
        assert record.dump() == json.loads(file.read_text()), file
        assert record.completed
    for file in histories:
        epochs = read_history(file)
        assert [epoch["epoch"] for epoch in epochs] == list(range(1, len(epochs) + 1)), file
        assert Record.load(file.with_suffix(".json")).epochs == len(epochs), file
