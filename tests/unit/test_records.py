"""The book of records: what it says is what the runs say, and the runs kept to its rules."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mnist_cnn.errors import ConfigError
from mnist_cnn.records.__main__ import Options, parse
from mnist_cnn.records.book import write_book
from mnist_cnn.records.entries import FIRST_CHOOSING, SEEDS, ablations, budgets, elsewhere, records, wanted
from mnist_cnn.records.missed import draw_missed, missed_by_all, outvoted
from mnist_cnn.records.other_images import of_difference, of_mean
from mnist_cnn.records.seeds import TEST_IMAGES, Seeds
from mnist_cnn.records.tables import fits
from mnist_cnn.report.difference import Difference
from mnist_cnn.reproduce.study import composed
from mnist_cnn.runs.answers import read_answers
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
            assert 1 <= run.seed <= one.seeds, one
    for other in elsewhere():
        today = settings_digest(composed(other.runs, "record"))
        for run in Seeds(ROOT / f"results/records/{other.runs.results('record')}").runs.values():
            assert (run.settings, run.protocol.test) == (today, "once"), other
            assert 1 <= run.seed <= SEEDS, other


def test_a_record_counts_by_its_ten_seeds_and_no_others(tmp_path):
    kept = ROOT / "results/records/under_8k/19/record"
    shutil.copytree(kept, tmp_path / "record")
    assert Seeds(tmp_path / "record").complete
    luckier = json.loads((kept / "seed_7.json").read_text()) | {"seed": 11}
    (tmp_path / "record/seed_11.json").write_text(json.dumps(luckier))
    assert not Seeds(tmp_path / "record").complete
    (tmp_path / "record/seed_7.json").unlink()
    assert not Seeds(tmp_path / "record").complete


def test_no_run_that_was_kept_is_gone_and_none_is_without_its_record():
    if is_shallow(ROOT):
        pytest.skip("no history: a shallow clone, or no checkout")
    gone = _git("log", "--diff-filter=D", "--name-only", "--format=", "--", "results/records").split()
    moved = {name.replace("/superseded/", "/", 1) for name in _git("ls-files", "results/superseded").split()}
    assert [name for name in gone if name not in moved] == []
    named = {f"{one.budget}/{one.number}" for one in records()} | {f"{one.data}/{one.record}" for one in elsewhere()}
    folders = {file.parent for file in KEPT if file.parent.name == "record"}
    assert {str(folder.parent.relative_to(ROOT / "results/records")) for folder in folders} <= named


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
    ours = {one.number: one for one in records()}
    others = {f"results/records/{one.runs.results('record')}": one for one in elsewhere()}
    for file in [file for file in KEPT if file.parent.name == "record"]:
        record, number = Record.load(file), int(file.parent.parent.name)
        commit, tree = record.git.commit, _records_in(record.git.commit)
        [named] = [one for one in tree["records"] if one["number"] == number]
        other = others.get(str(file.parent.relative_to(ROOT)))
        if other is None:
            assert named["overrides"] == list(ours[number].committed or ours[number].overrides), file
        else:
            assert {"record": number, "data": other.data} in tree["elsewhere"], file
        further = [f"data={other.data}"] if other else []
        told = [*named["overrides"], *further, f"seed={record.seed}", "threads=1", "figures=false"]
        assert [word.lstrip("+") for word in record.command[3:]] == [word.lstrip("+") for word in told], file
        assert str(file.relative_to(ROOT)) not in _results_in(commit), file


@cache
def _records_in(commit: str) -> dict[str, Any]:
    return yaml.safe_load(_git("show", f"{commit}:mnist_cnn/records/records.yaml"))


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
    assert [outvoted(Seeds(tmp_path / folder).answers) for folder in answers] == [1, 2, 0]
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
    with pytest.raises(ConfigError, match="seeds = 11: no more than the 10 that were planned"):
        wanted(["under_8k"], 11)
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


def test_intervals_for_other_images_add_the_spread_over_images_to_that_over_seeds():
    a, b = (Seeds(ROOT / f"results/records/under_3k/{number}/record") for number in (7, 10))
    step = Difference.of(a.accuracies, b.accuracies, TEST_IMAGES)
    low, high = (float(end) for end in of_difference(a, b, step).split(" to "))
    assert low < 100 * step.interval[0] < 100 * step.interval[1] < high
    missed = [{row["image"] for row in read_answers(file)} for file in b.answers]
    share = np.array([sum(image in run for run in missed) / len(missed) for image in range(TEST_IMAGES)])
    half = np.hypot(b.accuracy.half_width, 196 * share.std() / 100)
    assert of_mean(b) == f"{b.accuracy.mean - half:.2f}–{b.accuracy.mean + half:.2f}"
    kept_none = Seeds(ROOT / "results/recipes/gap")
    assert (of_mean(kept_none), of_difference(kept_none, b, step)) == ("", "")
