"""`python -m mnist_cnn.reproduce check`: what stands, and whether short runs repeat."""

from pathlib import Path

import pytest

from mnist_cnn import NUMERICS
from mnist_cnn.reproduce.__main__ import Options, check
from mnist_cnn.reproduce.check import differences, short_entries
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import documents, plan
from mnist_cnn.runs.record import VERSION, Record

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("cpu", "accuracy", "said"),
    [
        ("this", 0.500, []),
        ("this", 0.501, ["not bit for bit what was recorded"]),
        ("another", 0.501, []),
        ("another", 0.800, ["test/acc 0.8000, recorded 0.5100 ± 0.0100"]),
    ],
)
def test_a_run_repeats_bit_for_bit_on_the_same_machine_and_within_the_spread_on_another(tmp_path, cpu, accuracy, said):
    entry = next(entry for entry in short_entries(documents()) if entry.document == "sigmoid")
    runs = plan([entry], 3, "document")
    kept, fresh = Results(tmp_path / "kept"), Results(tmp_path / "fresh")

    def save(results: Results, run, accuracy: float, cpu: str) -> None:
        file = results.file(run)
        file.parent.mkdir(parents=True, exist_ok=True)
        figures = {"best_epoch": 1, "train/loss": 2.0 + run.seed, "test/loss": 1.0 + run.seed, "test/acc": accuracy}
        hardware = {"device": "cpu", "cpu": cpu, "cores": 2, "threads": 1, "platform": "x"}
        Record.model_validate(
            {
                "version": VERSION, "status": "completed", "config_digest": run.digest, "numerics": NUMERICS,
                "seed": run.seed, "figures": figures, "versions": {"torch": "2"}, "hardware": hardware,
            }
        ).save(file)  # fmt: skip

    for run in runs:
        save(kept, run, 0.49 + 0.01 * run.seed, "this")
    save(fresh, runs[0], accuracy, cpu)
    assert differences(runs, kept, fresh) == [f"{runs[0]}: {words}" for words in said]


@pytest.mark.slow
def test_all_that_is_kept_stands_and_a_short_run_of_each_document_repeats(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # where data/ is
    results, pages = ROOT / "results" / "reproduction", ROOT / "docs" / "reproduction"
    assert check(Options(run_root=tmp_path / "runs", results=results, pages=pages)) == 0
