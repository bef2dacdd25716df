"""What version 0.1.0 left behind still works: a finished run, an interrupted one, a sweep, the results in git.

The runs were made at commit de03733 with data.root=images, below the folder of the call: see expected.json.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import read_idx, write_images
from rounding import same_rounding

import mnist_cnn as mc
import mnist_cnn.sweep.__main__ as sweep_entry
from mnist_cnn import evaluate
from mnist_cnn.config.compose import compose_named
from mnist_cnn.errors import RunError
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
    """But for its dropout, whose masks are others since: figures of such tiny images are near, not equal."""
    assert cli("resume=interrupted") == 0
    run = Run(folder / "interrupted")
    record = run.record()
    assert record.completed
    assert record.settings == settings_digest(Run(folder / "finished").config())
    whole, resumed = (load_checkpoint(Run(folder / name).checkpoint("last")) for name in ("finished", "interrupted"))
    rows = [[{k: v for k, v in row.items() if "seconds" not in k} for row in Run(folder / name).history()]
            for name in ("finished", "interrupted")]  # fmt: skip
    assert resumed["state_dict"].keys() == whole["state_dict"].keys()
    assert rows[1][: len(rows[1]) - 2] == rows[0][: len(rows[1]) - 2]  # what it had done then
    assert [row["epoch"] for row in rows[1]] == [row["epoch"] for row in rows[0]]
    assert record.results["test/acc"] == pytest.approx(EXPECTED["figures"]["test/acc"], abs=0.05)


def test_a_sweep_is_summed_up_again(cli, folder, capsys):
    (folder / "sweep/summary.csv").unlink()
    assert cli("sweep", main=sweep_entry.main) == 0
    assert (folder / "sweep/summary.csv").read_text() == EXPECTED["sweep_summary_csv"]
    assert "2 of 2" not in capsys.readouterr().out  # no seed is lost


def test_every_kept_record_and_history_loads_and_nothing_of_it_is_lost():
    records, histories = list(RESULTS.rglob("*.json")), list(RESULTS.rglob("seed_*.csv"))
    assert (len(records), len(histories)) >= (234, 197)
    for file in records:
        record = Record.load(file)
        assert record.dump() == json.loads(file.read_text()), file
        assert record.completed
    for file in histories:
        epochs = read_history(file)
        assert [epoch["epoch"] for epoch in epochs] == list(range(1, len(epochs) + 1)), file
        assert Record.load(file.with_suffix(".json")).epochs == len(epochs), file
