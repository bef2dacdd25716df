"""Mean and spread over seeds, from metrics.json files."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Script = Callable[..., tuple[int, str, str]]
Summary = Callable[..., list[dict[str, str]]]


def metrics(seed: int, accuracy: float, **changes: Any) -> dict[str, Any]:
    return {
        "version": 2, "status": "completed", "seed": seed, "model": "GAPCNN", "epochs": 20, "batch_size": 128,
        "precision": "32-true", "config_digest": "a", "test_weights": "last",
        "parameters": {"total": 7960, "trainable": 7800},
        "protocol": {
            "dataset": "MNIST", "verified": True, "validate_on": "holdout", "split_seed": 2024,
            "test_images_watched": False, "summary": "test images read once", "train_images": 5000,
        },
        "timing": {
            "fit_seconds": 60.0, "epoch_seconds": 3.0, "images_per_second": 2000.0, "train_seconds": 50.0,
        },
        "figures": {
            "best_epoch": 3, "val/acc": accuracy, "best/acc": 0.9, "test/acc": accuracy, "test/loss": 0.02,
        },
    } | changes  # fmt: skip


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs the script in this process; exit code, standard output, standard error."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import summarize_seeds

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["summarize_seeds.py", *map(str, arguments)])
        code = 0
        try:
            summarize_seeds.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def summary(script: Script, tmp_path: Path) -> Summary:
    """The rows of the table over the given runs, by column; `a__b=` is kept as a/b.json."""

    def rows(**runs: dict[str, Any]) -> list[dict[str, str]]:
        for name, run in runs.items():
            file = tmp_path / f"{name.replace('__', '/')}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(run))
        code, printed, errors = script(tmp_path)
        assert code == 0, errors
        return table(printed)

    return rows


def table(text: str) -> list[dict[str, str]]:
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_mean_and_sample_standard_deviation(tmp_path, summary):
    [row] = summary(one=metrics(1, 0.991), two=metrics(2, 0.993), three=metrics(3, 0.995))
    assert row["n"] == "3"
    assert row["test accuracy"] == "99.300 ± 0.200 %"
    assert row["test min–max"] == "99.10–99.50 %"
    assert (row["folder"], row["data"]) == (str(tmp_path), "MNIST")


def test_validation_is_that_of_the_weights_that_were_tested(summary):
    last, best = metrics(1, 0.991), metrics(1, 0.993, config_digest="b", test_weights="best")
    rows = summary(a=last, b=best)
    assert [row["validation accuracy"] for row in rows] == ["99.10 %", "90.00 %"]


def test_runs_that_never_read_the_test_images_have_no_test_figures(summary):
    one = metrics(1, 0.991)
    del one["figures"]["test/acc"], one["figures"]["test/loss"]
    [row] = summary(one=one)
    assert (row["validation accuracy"], row["test accuracy"], row["test min–max"], row["test loss"]) == (
        "99.10 %",
        *[""] * 3,
    )


def test_images_seen_are_those_that_were_trained_on(tmp_path, summary):
    """An epoch may have been cut short, by trainer.limit_train_batches for example."""
    (tmp_path / "b.csv").write_text("epoch,images,train_seconds\n1,640,1.0\n2,640,1.0\n")
    before_it_was_kept = metrics(3, 0.991, config_digest="c")
    del before_it_was_kept["timing"]["train_seconds"]
    rows = summary(a=metrics(1, 0.991), b=metrics(2, 0.991, config_digest="b"), c=before_it_was_kept)
    assert [row["images seen"] for row in rows] == ["100,000", "1,280", "100,000"]
    assert [row["training seconds"] for row in rows] == ["50.0", "50.0", "50.0"]


def test_runs_with_other_settings_are_kept_apart(summary):
    assert len(summary(one=metrics(1, 0.991), two=metrics(1, 0.993, config_digest="b"))) == 2


def test_settings_are_compared_as_todays_configurations_have_them(summary):
    """gap's digest before version 0.2.0, and the same configuration's today."""
    old, new = (
        metrics(1, 0.991, version=1, config_digest="f23339c01727"),
        metrics(2, 0.993, config_digest="018539dfe4e9"),
    )
    assert len(summary(old=old, new=new)) == 1


def test_folders_and_data_sets_are_not_mixed(summary):
    fashion = metrics(2, 0.9)
    fashion["protocol"]["dataset"] = "FashionMNIST"
    rows = summary(a__one=metrics(1, 0.991), b__one=metrics(1, 0.993), b__two=fashion)
    assert [(Path(row["folder"]).name, row["data"]) for row in rows] == [
        ("a", "MNIST"), ("b", "FashionMNIST"), ("b", "MNIST"),
    ]  # fmt: skip


def test_run_directories_of_one_folder_are_one_row(tmp_path, summary):
    [row] = summary(gap__monday__metrics=metrics(1, 0.991), gap__tuesday__metrics=metrics(2, 0.993))
    assert (row["folder"], row["n"]) == (str(tmp_path / "gap"), "2")


def test_the_same_run_under_two_names_counts_once(tmp_path, script, summary):
    run = metrics(1, 0.991)
    [row] = summary(a__one=run, a__again=run, b__other=run)
    assert (row["n"], row["folder"]) == ("1", f"{tmp_path / 'a'}, {tmp_path / 'b'}")
    assert len(table(script(tmp_path, tmp_path / "a")[1])) == 1


def test_a_seed_with_two_results_is_refused(tmp_path, script):
    for name, accuracy in {"one": 0.991, "two": 0.993}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(metrics(1, accuracy)))
    code, printed, errors = script(tmp_path)
    assert (code, printed) == (2, "")
    [line] = errors.splitlines()
    assert line == f"error: {tmp_path / 'two.json'}: seed 1 with the settings of {tmp_path / 'one.json'}, other figures"


def test_what_is_not_a_finished_run_is_left_out_and_named(tmp_path, script, summary):
    failed = {"status": "failed", "seed": 3}
    [row] = summary(one=metrics(1, 0.991), two=metrics(2, 0.993), three=failed, other={"epochs": 3})
    assert row["n"] == "2"
    errors = script(tmp_path)[2].splitlines()
    assert f"left out, failed: {tmp_path / 'three.json'}" in errors
    assert any(line.startswith(f"left out, {tmp_path / 'other.json'}: not the record of a run") for line in errors)


def test_epochs_that_differ_are_shown_as_a_range(summary):
    """Early stopping: the settings are the same."""
    [row] = summary(one=metrics(1, 0.991), two=metrics(2, 0.993, epochs=7))
    assert row["epochs"] == "7–20"


def test_it_sums_up_all_of_results(script):
    code, printed, errors = script(ROOT / "results")
    assert (code, errors) == (0, "")
    rows = {(row["folder"].removeprefix(f"{ROOT}/results/"), row["model"]): row for row in table(printed)}
    assert rows["speed/gpu_99", "SequentialCNN"]["images seen"] == "55,000"
    assert rows["speed/gpu_994", "SequentialCNN"]["test accuracy"] == "99.480 ± 0.038 %"  # as docs/benchmarks has it
    gap = rows["recipes/gap", "GAPCNN"]
    assert f"| {gap['n']} | {gap['validation accuracy']} | {gap['test accuracy']} |" in (ROOT / "README.md").read_text()
    assert not any("superseded" in folder for folder, _ in rows)


def test_the_picture_of_the_readme_has_a_mark_for_each_net(monkeypatch):
    from matplotlib.figure import Figure

    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import draw_results

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    monkeypatch.setattr(sys, "argv", ["draw_results.py", str(ROOT / "results"), "results.png"])
    draw_results.main()
    [axes] = drawn[0].axes
    names = [text.get_text() for text in axes.texts]
    assert {"gpu_99", "gpu_994"} <= set(names)
    assert len(names) == len(set(names))
    drawn[0].draw_without_rendering()
    bars = [axes.transData.transform_path(path) for lines in axes.collections for path in lines.get_paths()]
    crossed = [(t.get_text(), bar) for t in axes.texts for bar in bars if bar.intersects_bbox(t.get_window_extent())]
    assert crossed == []


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_prints_the_usage(script, word):
    code, printed, errors = script(word)
    assert (code, errors) == (0, "")
    assert "python scripts/summarize_seeds.py results" in printed


@pytest.mark.parametrize("arguments", [["nowhere"], [], ["tests=all", "."]])
def test_a_mistake_ends_in_one_line(script, arguments):
    code, printed, errors = script(*arguments)
    assert (code, printed, len(errors.splitlines())) == (2, "", 1)
