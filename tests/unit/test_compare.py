"""Comparisons of runs: the statistics, what is refused, what is said."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import ttest_ind, ttest_rel
from test_summarize_seeds import metrics

import mnist_cnn as mc
from mnist_cnn.compare.__main__ import main
from mnist_cnn.compare.judge import compare_settings
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.report.difference import ENOUGH, Difference, permutation_p, seeds_needed, t_interval
from mnist_cnn.sweep.__main__ import main as sweep_main

RESULTS = Path(__file__).parents[2] / "results"
RECIPES = RESULTS / "superseded" / "recipes"  # these files stay
IMAGES = 10_000
Write = Callable[..., str]


@pytest.fixture
def side(tmp_path: Path) -> Write:
    """A folder of finished runs with these test accuracies, from seed `first` on; files are named by their seeds."""

    def write(name: str, accuracies: list[float], first: int = 1, protocol: Mapping[str, Any] | None = None) -> str:
        (tmp_path / name).mkdir()
        for seed, accuracy in enumerate(accuracies, first):
            run = metrics(seed, accuracy, config_digest=name)
            run["protocol"] |= {"val_images": 5000, "test_images": IMAGES} | dict(protocol or {})
            (tmp_path / name / f"{seed}.json").write_text(json.dumps(run))
        return str(tmp_path / name)

    return write


def by_seed(values: Any, first: int = 1) -> dict[int, float]:
    return dict(enumerate(values, first))


# --- statistics


def test_pairs_are_tested_by_their_differences():
    a, b = (
        [0.9900, 0.9910, 0.9905, 0.9920, 0.9890, 0.9915, 0.9908],
        [0.9912, 0.9918, 0.9903, 0.9931, 0.9899, 0.9921, 0.991],
    )
    found = Difference.of(by_seed(a), by_seed(b), IMAGES)
    expected = ttest_rel(b, a).confidence_interval()
    assert (found.paired, found.size, found.exact) == (True, "7 pairs", True)
    assert found.value == pytest.approx(np.mean(b) - np.mean(a))
    assert found.interval == pytest.approx((expected.low, expected.high))
    # of the 128 changes of sign those with a sum as large: one negative difference, of 2 images as the smallest are
    assert found.p == pytest.approx(2 * 3 / 128)


def test_other_seeds_are_tested_as_groups():
    a, b = [0.9900, 0.9910, 0.9905, 0.9920, 0.9890, 0.9915], [0.9912, 0.9918, 0.9903, 0.9931, 0.9899, 0.9921, 0.991]
    found = Difference.of(by_seed(a), by_seed(b, 100), IMAGES)
    expected = ttest_ind(b, a, equal_var=False).confidence_interval()
    assert (found.paired, found.size) == (False, "6 and 7 runs")
    assert found.interval == pytest.approx((expected.low, expected.high))


def test_equal_counts_are_ties_although_their_shares_round_differently():
    """Float32 shares of 3,000 images: six differences of one image are all the same, half of them the other way."""
    a = [float(np.float32(n / 3000)) for n in (2901, 2907, 2913, 2922, 2931, 2945)]
    b = [float(np.float32(n / 3000)) for n in (2902, 2908, 2914, 2921, 2930, 2944)]
    assert Difference.of(by_seed(a), by_seed(b), 3000).p == 1.0


def test_figures_without_spread_have_no_warnings():
    same = Difference.of(by_seed([0.99] * 6), by_seed([0.99] * 6), IMAGES)
    assert (same.value, same.interval, same.p, same.found, same.seeds_needed) == (0, (0, 0), 1.0, False, None)
    apart = Difference.of(by_seed([0.98] * 6), by_seed([0.99] * 6, 100), IMAGES)
    assert (apart.interval, apart.found, apart.seeds_needed) == (pytest.approx((0.01, 0.01)), True, ENOUGH)


def test_a_side_whose_seeds_all_agree_is_compared_without_a_warning():
    a, b = by_seed([0.1009, 0.1135, 0.0958, 0.1135]), by_seed([0.1135] * 3, first=5)
    found = Difference.of(a, b, IMAGES)
    alone = np.std(list(a.values()), ddof=1) / 2 * 3.182446  # the other side has no spread: Student's t, 3 degrees
    assert found.interval == pytest.approx((found.value - alone, found.value + alone))


def test_seeds_needed_are_those_of_the_textbook():
    """Cohen 1988 and G*Power: d = 0.5 takes 34 pairs or 64 in each group, d = 0.8 15 and 26."""
    assert (seeds_needed(0.5, 1.0), seeds_needed(-0.5, 1.0, 1.0)) == (34, 64)
    assert (seeds_needed(0.8, 1.0), seeds_needed(0.8, 1.0, 1.0)) == (15, 26)
    assert (seeds_needed(50, 1.0), seeds_needed(1e-6, 1.0), seeds_needed(0, 1.0)) == (ENOUGH, None, None)


@pytest.mark.parametrize("paired", [True, False], ids=["pairs", "groups"])
def test_under_no_difference_interval_and_p_keep_their_promise(paired: bool):
    """1,000 comparisons of equals: counts of 10,000 images; pairs share a part, as seeds may."""
    random = np.random.default_rng(0)
    a, b = (np.rint(9940 + 5 * random.standard_normal((1000, size))) for size in ((8, 8) if paired else (6, 7)))
    if paired:
        common = np.rint(5 * random.standard_normal((1000, 8)))
        a, b = a + common, b + common
    low, high = t_interval(a, b, paired)
    p = permutation_p(a, b, paired)
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97  # 95 %: three standard deviations of such a share
    assert 0.03 <= np.mean(p < 0.05) <= 0.07  # 5 %, in steps of 1/128 for pairs
    one = Difference.of(by_seed(a[0]), by_seed(b[0], 1 if paired else 100))
    assert (one.paired, one.p) == (paired, pytest.approx(p[0]))
    assert one.interval == pytest.approx((low[0], high[0]))


# --- the table


def test_bn_dropout_is_above_vanilla_but_three_seeds_call_no_winner():
    found = mc.compare_runs(RECIPES / "vanilla_seed*.json", str(RECIPES / "bn_dropout_seed*.json"))
    assert (found.pairs, found.winner, found.p) == (3, None, 0.25)
    assert found.difference == pytest.approx(0.01217, abs=1e-5)
    assert found.interval is not None
    assert found.interval[0] > 0


def test_the_page_shows_what_is_printed(cli, capsys, monkeypatch):
    page = (RESULTS.parent / "docs" / "compare.md").read_text()
    shown = re.findall(r"```bash\npython -m mnist_cnn.compare ([^\n]+)\n```\n\n```\n(.+?)```", page, re.DOTALL)
    assert len(shown) == 2
    monkeypatch.chdir(RESULTS.parent)
    for words, printed in shown:
        assert cli(*shlex.split(words), main=main) == 0
        # the oldest rich draws the line below a head one sign longer
        assert re.sub("─+", "─", capsys.readouterr().out) == re.sub("─+", "─", printed)


def test_a_winner_and_a_draw(side: Write):
    low, high = [0.9800, 0.9811, 0.9805, 0.9790, 0.9803, 0.9799], HIGH
    a, b, c = side("a", low), side("b", high), side("c", [x + 0.0001 * (-1) ** i for i, x in enumerate(high)])
    assert (mc.compare_runs(a, b).winner, mc.compare_runs(b, a).winner) == ("B", "A")
    assert mc.compare_runs(a, b).verdict == "B is better on test/acc (6 pairs, p = 0.031)."
    draw = mc.compare_runs(b, c)
    assert (draw.winner, draw.verdict) == (None, "A and B cannot be told apart on test/acc (6 pairs, p = 1).")
    assert mc.compare_runs([f"{a}/1.json", f"{a}/2.json"], b).pairs == 2
    assert max(map(len, str(draw).splitlines()[3:])) <= 80
    loss = mc.compare_runs(a, b, figure="test/loss")
    assert (loss.difference, loss.winner) == (0, None)


@pytest.mark.parametrize(("better", "winner"), [(True, "B"), (False, "A"), (None, None)])
def test_of_a_measured_figure_its_metric_says_what_is_better(side: Write, better: bool | None, winner: str | None):
    for name, more in (("a", 0.0), ("b", 0.01)):
        for file in Path(side(name, HIGH)).iterdir():
            record = json.loads(file.read_text())
            value = record["figures"]["test/acc"] + more
            record["figures"] |= {"test/hamming": value, "test/hamming_0": value}
            file.write_text(json.dumps(record | {"higher_is_better": {"hamming": better}}))
    folder = file.parents[1]
    for figure in ("test/hamming", "test/hamming_0"):
        found = mc.compare_runs(folder / "a", folder / "b", figure=figure)
        assert found.winner == winner
        assert ("which is better it does not say" in found.verdict) == (winner is None)


def test_of_a_run_directory_its_record_alone_is_compared(side: Write):
    """An export lies in it, with JSON files of its own."""
    a, b = side("a", HIGH), side("b", HIGH)
    for file in Path(a).iterdir():
        (run := Path(a, f"run_{file.stem}")).mkdir()
        file.rename(run / "metrics.json")
        (run / "config.yaml").touch()
        (run / "export").mkdir()
        (run / "export" / "test_vector.json").write_text("{}")
    assert mc.compare_runs(a, b).pairs == len(HIGH)


def test_what_a_reader_must_know_is_said(side: Write):
    a = side("a", [0.98, 0.99, 0.985])
    b = side(
        "b", [0.99, 0.992], 2, {"validate_on": "test", "split_seed": None, "val_images": IMAGES, "summary": "watched"}
    )
    record = json.loads(Path(a, "3.json").read_text())
    Path(a, "4.json").write_text(json.dumps(record | {"seed": 4, "status": "failed"}))
    text = " ".join(str(mc.compare_runs(a, b)).split())
    assert "Unfinished and left out of A: 1." in text
    assert "Without a partner of the same seed, and left out: 1." in text
    assert "The protocols differ: A test images read once, 5000 training, 5000 validation" in text
    assert "split 2024; B watched, 5000 training, 10000 validation" in text


def test_other_images_of_one_name_are_refused_and_changed_code_is_said(side: Write):
    a, old = side("a", HIGH), side("old", HIGH[::-1])
    b = side("b", HIGH[::-1], 1, {"images": {"train": "f", "test": "t"}})
    assert mc.compare_runs(old, b).pairs == mc.compare_runs(old, a).pairs  # of earlier versions
    for file in Path(a).glob("*.json"):
        record = json.loads(file.read_text())
        record["protocol"]["images"] = {"train": "e", "test": "t"}
        file.write_text(json.dumps(record | {"own_code": {"mine": "1"}}))
    with pytest.raises(RunError, match="A and B are on other images, both called MNIST"):
        mc.compare_runs(a, b)
    [first, second, *_] = sorted(Path(a).glob("*.json"))
    whole = first.read_text()
    earlier = json.loads(whole)
    del earlier["protocol"]["images"]
    first.write_text(json.dumps(earlier))  # one run of several that does not tell
    with pytest.raises(RunError, match="A and B are on other images"):
        mc.compare_runs(a, b)
    first.write_text(whole)
    assert "A and B differ" not in str(mc.compare_runs(a, old))
    for file in sorted(Path(old).glob("*.json")):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"own_code": {"mine": "2"}}))
    assert "A and B differ in the code of mine." in str(mc.compare_runs(a, old))
    first.write_text(json.dumps(json.loads(first.read_text()) | {"own_code": {"mine": "2"}}))
    assert "The runs of A differ in the code of mine." in str(mc.compare_runs(a, old))
    record = json.loads(second.read_text())
    record["protocol"]["images"]["train"] = "f"
    second.write_text(json.dumps(record))
    with pytest.raises(RunError, match="a: runs on different images, all called MNIST"):
        mc.compare_runs(a, old)


def test_a_pattern_is_quoted_in_the_shell(cli):
    assert cli("a", "b", "c", main=main) == 2


# --- the settings of a sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[[dict[str, list[float | None]]], str]:
    """A sweep directory over the settings with a validation accuracy per seed; None failed."""

    def write(settings: dict[str, list[float | None]]) -> str:
        jobs: list[dict[str, Any]] = []
        for setting, accuracies in settings.items():
            for seed, accuracy in enumerate(accuracies, 1):
                folder = tmp_path / "sweep" / str(len(jobs))
                folder.mkdir(parents=True)
                run = metrics(seed, accuracy or 0.1, config_digest=setting)
                (folder / "metrics.json").write_text(json.dumps(run if accuracy else run | {"status": "failed"}))
                words = [setting, f"seed={seed}"]
                jobs.append({"number": len(jobs), "overrides": words, "forced": words, "epochs": 20, "seed": seed})
        (tmp_path / "sweep" / "sweep.yaml").write_text(yaml.safe_dump({"arguments": [], "jobs": jobs}))
        return str(tmp_path / "sweep")

    return write


HIGH = [0.9900, 0.9905, 0.9911, 0.9895, 0.9903, 0.9909]


def test_a_sweep_names_what_its_highest_cannot_be_told_from(sweep, cli, capsys):
    near = [x - 0.0003 * (-1) ** i for i, x in enumerate(HIGH[:5])]
    path = sweep({"model=low": [x - 0.01 for x in HIGH], "model=high": HIGH, "model=near": [*near, HIGH[5] + 0.0002],
                  "model=part": [*HIGH[:3], None]})  # fmt: skip
    assert cli(path, main=sweep_main) == 0
    line = "highest: model=high, not distinguishable from model=near (p = 1), model=part (3 pairs)"
    assert f"{line}; fewer than 6 pairs tell nothing apart" in capsys.readouterr().out
    assert cli(path, main=main) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    rows = [line.split() for line in printed.splitlines() if line.startswith(" model=")]
    assert [(row[0], row[-1]) for row in rows] == [("model=near", "no"), ("model=low", "yes"), ("model=part", "pairs")]
    assert "On val/acc, in percent" in printed
    assert "So few seeds cannot tell them apart: it takes 6 pairs, since of five no p" in " ".join(printed.split())
    assert "Unfinished and left out of B: 1." in printed
    with pytest.raises(RunError, match="several settings"):
        mc.compare_runs(path, path)


def test_a_sweep_without_repeated_seeds_says_nothing_of_them(sweep, cli, capsys):
    assert cli(sweep({f"model={name}": [0.99 - i / 1000] for i, name in enumerate("abc")}), main=sweep_main) == 0
    assert "distinguishable" not in capsys.readouterr().out


def test_a_sweep_whose_code_changed_says_so(sweep, cli, capsys):
    path = sweep({"model=high": HIGH, "model=near": HIGH[::-1]})
    for number, file in enumerate(sorted(Path(path).glob("*/metrics.json"))):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"own_code": {"mine": str(number // 7)}}))
    assert cli(path, main=sweep_main) == 0
    assert "the code of mine is not the same in all jobs" in capsys.readouterr().out


def test_a_sweep_whose_images_changed_has_no_mean_over_them(sweep, cli, capsys):
    path = sweep({"model=high": HIGH, "model=near": HIGH[::-1]})
    assert cli(path, main=sweep_main) == 0
    assert re.search(r"\d ± \d", capsys.readouterr().out)
    for number, file in enumerate(sorted(Path(path).glob("*/metrics.json"))):
        record = json.loads(file.read_text())
        record["protocol"]["images"] = {"train": str(number % 2)}
        file.write_text(json.dumps(record))
    assert cli(path, main=sweep_main) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "jobs of the same settings had different images: no mean over them" in said
    assert not re.search(r"\d ± \d", said)
    assert "distinguishable" not in said


# --- what is refused


def test_mistakes_end_in_one_line(side: Write, tmp_path: Path, cli, capsys):
    a = side("vanilla", [0.98, 0.99])
    fashion = side("fashion", [0.9, 0.91], 1, {"dataset": "FashionMNIST"})
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "metrics.json").write_text('{"status": "running", "seed": 1}')
    refused = {
        (a, f"{tmp_path}/vanila"): f"{tmp_path}/vanila: nothing there; did you mean '{tmp_path}/vanilla'?",
        (a, str(unfinished)): f"{unfinished}: no finished run, 1 unfinished",
        (a, fashion): "A is on MNIST, B on FashionMNIST",
        (a, a): "2 of the runs are the same on both sides",
        (a, f"{a}/1.json"): "1 of the runs are the same on both sides",
        (str(RECIPES), a): "runs of several settings (BNDropoutCNN, GAPCNN, VanillaCNN)",
        (a,): "not a sweep directory",
        (a, a, "figgure=val/acc"): "did you mean 'figure'",
        (a, a, "format=csv"): "format",
    }  # fmt: skip
    for arguments, expected in refused.items():
        assert cli(*arguments, main=main) == 2
        printed = capsys.readouterr()
        assert expected in printed.err
        assert printed.out == ""
    with pytest.raises(ConfigError, match=r"did you mean 'test/acc'"):
        mc.compare_runs(a, RECIPES / "gap_seed*.json", figure="test/accc")


def test_a_seed_with_two_results_is_refused_and_a_copy_counts_once(side: Write):
    a, b = side("a", [0.98, 0.99]), side("b", [0.97, 0.98])
    Path(a, "copy.json").write_text(Path(a, "1.json").read_text())
    assert mc.compare_runs(a, b).pairs == 2
    other = json.loads(Path(a, "1.json").read_text())
    other["figures"]["test/acc"] = 0.5
    Path(a, "other.json").write_text(json.dumps(other))
    with pytest.raises(RunError, match="seed 1 has two results"):
        mc.compare_runs(a, b)


def test_runs_that_never_read_the_test_images_are_compared_by_what_they_have(side: Write, sweep, tmp_path: Path, cli):
    def untested(folder: str, **changes: Any) -> None:
        for file in Path(folder).rglob("*.json"):
            record = json.loads(file.read_text())
            kept = {name: value for name, value in record["figures"].items() if not name.startswith("test/")}
            own = {"val/ece": 1 - kept.get("val/acc", 0.9), "best/ece": 0.1}
            record["figures"] = own | {"best_epoch": 3} if changes else kept
            file.write_text(json.dumps(record | changes))

    worse, better = side("a", [x - 0.01 for x in HIGH]), side("b", HIGH)
    untested(worse)
    assert mc.compare_runs(worse, better).figure == "val/acc"
    for folder in (worse, better):
        untested(folder, monitor="val/ece", mode="min")
    found = mc.compare_runs(worse, better)
    assert (found.figure, found.winner) == ("val/ece", "B")
    path = sweep({"model=high": HIGH, "model=low": [x - 0.01 for x in HIGH]})
    untested(path, monitor="val/ece", mode="min")
    assert cli(path, main=main) == 0
    protocol = metrics(1, 0.9)["protocol"] | {"fold": 0, "folds": 5}
    untested(path, protocol=protocol)
    with pytest.raises(RunError, match="folds share most of their training images"):
        compare_settings(path)
