"""The book of records: what it says is what the runs say, and the runs kept to its rules."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mnist_cnn.errors import ConfigError
from mnist_cnn.records.__main__ import Options, parse
from mnist_cnn.records.book import write_book
from mnist_cnn.records.entries import FIRST_CHOOSING, ablations, budgets, records, wanted
from mnist_cnn.records.missed import draw_missed, missed_by_all, outvoted
from mnist_cnn.records.seeds import Seeds
from mnist_cnn.records.tables import fits
from mnist_cnn.reproduce.study import composed
from mnist_cnn.runs.provenance import is_shallow
from mnist_cnn.runs.record import Record
from mnist_cnn.runs.settings import settings_digest

ROOT = Path(__file__).parents[2]
KEPT = sorted((ROOT / "results/records").rglob("*.json"))


def test_the_book_is_what_the_results_make(tmp_path):
    for page in ["README.md", "choosing.md"]:
        shutil.copy(ROOT / "docs/records" / page, tmp_path)
    write_book(ROOT / "results", tmp_path, pictures=False)
    for page in ["README.md", "choosing.md"]:
        assert (tmp_path / page).read_text() == (ROOT / "docs/records" / page).read_text()


def test_a_book_of_results_elsewhere_begins_with_a_single_run(tmp_path):
    kept = Path("records/choosing/net_3k_as_it_is/choosing")
    shutil.copytree(ROOT / "results" / kept, tmp_path / "results" / kept)
    write_book(tmp_path / "results", tmp_path / "book")
    assert sorted(file.name for file in (tmp_path / "book").iterdir()) == ["README.md", "choosing.md"]
    assert "## net_3k" in (tmp_path / "book" / "choosing.md").read_text()


def test_a_book_of_runs_outside_of_git(tmp_path):
    kept = Path("records/under_15k/5/record")
    shutil.copytree(ROOT / "results" / kept, tmp_path / "results" / kept)
    for file in (tmp_path / "results" / kept).glob("*.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"git": None}))
    write_book(tmp_path / "results", tmp_path / "book")
    assert "| not known |" in (tmp_path / "book" / "README.md").read_text()


def test_records_stand_in_order_within_their_budgets_and_never_among_watched_test_images():
    assert [one.number for one in records()] == list(range(1, len(records()) + 1))
    assert [one.date for one in records()] == sorted(one.date for one in records())
    found = {one.number: Seeds.of_record(one, ROOT / "results") for one in records()}
    for one in records():
        if not found[one.number].runs:
            continue
        assert fits(one, one.budget, found), one
        today = settings_digest(composed(one.runs, "record"))
        for run in found[one.number].runs.values():
            assert (run.protocol.test, run.protocol.test_images_watched) == ("once", False)
            assert run.settings == today, one


@pytest.mark.slow
def test_everything_that_is_planned_can_run():
    """`composed` checks it."""
    for nets in [records(), *ablations().values()]:
        assert len({settings_digest(composed(one.runs, "choosing")) for one in nets}) == len(nets)


def test_runs_made_while_choosing_never_read_the_test_images():
    choosing = [file for file in KEPT if "record" not in file.parent.name]
    for file in choosing:
        record = Record.load(file)
        assert record.protocol.test == "never", file
        assert record.seed >= FIRST_CHOOSING or "search" in file.parts, file


def test_recipes_are_older_than_their_runs():
    if is_shallow(ROOT):
        pytest.skip("no history: a shallow clone, or no checkout")
    ours = {one.number: one for one in records() if one.results is None}
    for file in [file for file in KEPT if file.parent.name == "record"]:
        commit, number = Record.load(file).git.commit, int(file.parent.parent.name)
        [named] = [one for one in _records_in(commit) if one["number"] == number]
        assert named["overrides"] == list(ours[number].committed or ours[number].overrides), file
        assert str(file.relative_to(ROOT)) not in _results_in(commit), file


@cache
def _records_in(commit: str) -> list[dict[str, Any]]:
    return yaml.safe_load(_git("show", f"{commit}:mnist_cnn/records/records.yaml"))["records"]


@cache
def _results_in(commit: str) -> set[str]:
    return set(_git("ls-tree", "-r", "--name-only", commit, "results/records").splitlines())


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_most_runs_of_every_record_miss_is_counted_and_drawn(tmp_path):
    answers = {"4/record": [{3: 5, 8: 1}, {3: 5}, {3: 6}], "5/record": [{3: 5, 8: 1}], "6/record": []}
    for folder, runs in answers.items():
        (tmp_path / folder / "missed").mkdir(parents=True)
        for seed, wrong in enumerate(runs):
            rows = [f"{image},{image % 10},{predicted}" for image, predicted in wrong.items()]
            file = tmp_path / folder / "missed" / f"seed_{seed}.csv"
            file.write_text("\n".join(["image,label,predicted", *rows, ""]))
    [one] = found = missed_by_all([tmp_path / folder for folder in answers])
    assert (one.image, one.label, one.predicted, one.times, one.runs) == (3, 3, {5: 3, 6: 1}, 4, 4)
    assert [outvoted(tmp_path / folder, len(runs) or 10) for folder, runs in answers.items()] == [1, 2, None]
    assert outvoted(tmp_path / "4/record", 10) is None  # three of ten are not all
    titles = [axes.get_title() for axes in draw_missed(found, torch.zeros(9, 1, 28, 28)).axes]
    assert titles[0] == "3, taken for 5 (6)\nby 4 of 4"


def test_the_plan_has_fresh_seeds_for_records_and_others_for_choosing():
    runs = wanted([], None)
    assert {run.seed for run in runs if run.protocol == "choosing"} == set(range(FIRST_CHOOSING, FIRST_CHOOSING + 6))
    assert {run.seed for run in runs if run.protocol == "record"} <= set(
        range(1, max(one.seeds for one in records()) + 1)
    )
    [first, *_] = ablations()
    assert {run.entry.name.partition("_")[0] for run in wanted([first], 1)} == {first}
    assert all("test=never" in run.overrides for run in wanted([first], 1))
    with pytest.raises(ConfigError, match="under_8kk: no such record; did you mean 'under_8k'"):
        wanted(["under_8kk"], None)
    assert list(budgets()) == [
        "under_1k",
        "under_3k",
        "under_6k",
        "under_8k",
        "under_15k",
        "under_100k",
        "any",
        "ensemble",
    ]
    assert parse(["under_8k", "seeds=3"]) == (["under_8k"], Options(seeds=3))


def test_each_seed_of_a_table_on_folds_validates_on_another_part():
    runs = {run.seed: run for run in wanted(["plain_3k"], None) if run.entry.name.endswith("as_it_is")}
    folds = [next(each for each in run.overrides if each.startswith("data.fold=")) for run in runs.values()]
    assert sorted(folds) == [f"data.fold={number}" for number in range(6)]
    assert len({run.digest for run in runs.values()}) == 1
    cfg = composed(runs[101].entry, "choosing")
    assert (cfg.data.folds, cfg.test) == (6, "never")
