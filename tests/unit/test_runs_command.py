"""`python -m mnist_cnn.runs` over directories as runs leave them, written here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

import mnist_cnn as mc
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.runs import __main__ as runs


def make_run(
    path: Path, model: str = "gap", seed: int = 1, lr: float = 0.01, acc: float = 0.99, age: float = 0, **record: Any
):
    (path / "checkpoints").mkdir(parents=True)
    config = {"seed": seed, "optimizer": {"_target_": "torch.optim.Adam", "lr": lr}, "trainer": {"max_epochs": 2}}
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (path / "overrides.yaml").write_text(yaml.safe_dump([f"model={model}", f"seed={seed}", f"optimizer.lr={lr}"]))
    (path / "metrics.csv").write_text(f"epoch,lr,val/acc,images,seconds\n1,{lr},{acc},10,1.5\n2,{lr},{acc},10,1.5\n")
    protocol = {
        "dataset": "MNIST", "verified": True, "validate_on": "holdout", "split_seed": 1, "test_images_watched": False,
        "summary": "test images read once",
    }  # fmt: skip
    figures = {"best_epoch": 2, "val/acc": acc, "best/acc": acc, "test/acc": acc - 0.001, "test/loss": 0.1}
    done = {
        "version": 2, "status": "completed", "seed": seed, "model": "GAPCNN", "epochs": 2, "max_epochs": 2,
        "config_digest": f"{model}{lr}", "numerics": 1, "test_weights": "last", "protocol": protocol,
        "figures": figures,
    }  # fmt: skip
    (path / "metrics.json").write_text(json.dumps(done | record))
    for name in ("best", "last"):
        (path / "checkpoints" / f"{name}.ckpt").write_bytes(bytes(1000))
    began = path.stat().st_mtime - age
    os.utime(path / "config.yaml", (began, began))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Two seeds of gap, one vanilla run that was killed early, one that diverged, and a sweep of one job."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "runs"
    make_run(root / "gap" / "a", seed=1, acc=0.991, age=10)
    make_run(root / "gap" / "b", seed=2, acc=0.993, age=3 * 86400)
    killed = make_run(root / "vanilla" / "c", "vanilla", lr=0.5, acc=0.5, age=30, status="running")
    (killed / "checkpoints" / "last.ckpt").unlink()
    make_run(root / "vanilla" / "d", "vanilla", lr=0.9, acc=0.1, age=40, status="failed", error_type="Diverged")
    job = make_run(root / "multirun" / "s" / "0", lr=0.3, acc=0.98, age=50, status="failed", error="no memory")
    (job / "checkpoints" / "last.ckpt").unlink()
    (job.parent / "sweep.yaml").write_text("arguments: []\njobs: []\n")
    return root


@pytest.fixture
def call(cli, capsys, folder, monkeypatch):
    def run(*arguments: str) -> str:
        monkeypatch.chdir(folder.parent)
        code = cli(*arguments, main=runs.main)
        printed = capsys.readouterr()
        return f"exit {code}: {printed.err}" if code else printed.out

    return run


def listed(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()[2:]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "gap/a vanilla/c vanilla/d multirun/s/0 gap/b"),
        ("sort=-age top=2", "gap/b multirun/s/0"),
        ("sort=val/acc", "gap/b gap/a multirun/s/0 vanilla/c vanilla/d"),
        ("sort=optimizer.lr optimizer.lr>0.01", "multirun/s/0 vanilla/c vanilla/d"),
        ("model=gap status=completed", "gap/a gap/b"),
        ("status=killed", "vanilla/c"),
        ("status=div*", "vanilla/d"),
        ("status!=completed seed=1 age<35s", "vanilla/c"),
        ("test/acc>=99.1%", "gap/b"),
        ("optimizer.lr=0.01 age>1d size>1kB", "gap/b"),
        ("optimizer.lr>=5e-1", "vanilla/c vanilla/d"),
        ("optimizer.lr=3e-1", "multirun/s/0"),
        ("optimizer.lr!=1.2.3e4", "gap/a vanilla/c vanilla/d multirun/s/0 gap/b"),
        ("runs/vanilla optimizer._target_=*Adam", "c d"),
    ],
)
def test_runs_are_filtered_and_sorted_by_any_setting_or_figure(call, arguments, expected):
    assert listed(call(*arguments.split())) == expected.split()


def test_the_list_fits_80_columns_and_shows_test_figures_only_when_asked(call):
    text = call()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "99.10%" in text
    assert "99.00%" not in text
    assert "99.00%" in call("columns=test/acc")
    [first, *_] = json.loads(call("format=json", "columns=optimizer.lr"))
    assert (first["status"], first["epochs"], first["optimizer.lr"]) == ("completed", 2, 0.01)


def test_no_size_is_parted_from_its_unit_and_no_trial_shows_what_all_are_given(call, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    trial = make_run(folder / "search" / "2026-11-24_17-11-16-951603" / "0")
    how = ["figures=false", "jobs=1", "threads=1", "callbacks.pruning.study=search"]
    asked = ["model=gap", "optimizer.lr=0.01", *how]
    (trial / "overrides.yaml").write_text(yaml.safe_dump(asked))
    lines = call().splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.endswith(" kB") for line in lines[2:] if "completed" in line)
    assert "kB" not in [line.strip() for line in lines]
    assert not any(text.partition("=")[0] in call("rank") for text in how)
    assert call("model=vanilla", "val/acc>99%") == "no run of 6 passes model=vanilla val/acc>99%\n"


def test_a_long_list_says_how_much_of_it_is_shown(call, monkeypatch):
    monkeypatch.setattr(runs, "SHOWN", 2)
    assert call().splitlines()[-1] == "the first 2 of 5; all of them: top=5"
    assert len(listed(call("top=5"))) == 5


def test_before_the_first_run_there_are_none(cli, capsys):
    for words in ([], ["rank"], ["model=gap", "sort=val/acc"]):
        assert cli(*words, main=runs.main) == 0
        assert capsys.readouterr().out == "no runs below runs\n"
    assert cli("clean", main=runs.main) == 0


def test_rank_takes_seeds_together_and_diff_names_what_differs(call):
    ranked = call("rank").splitlines()[2:]
    assert len(ranked) == 1
    assert "99.200 ± 0.141 %" in ranked[0]
    differences = {line.split()[0] for line in call("diff", "runs/gap/a", "runs/vanilla/c").splitlines()[2:]}
    assert {"optimizer.lr", "val/acc"} <= differences
    assert "seed" not in differences
    assert "no memory" in call("show", "runs/multirun/s/0")
    assert "python -m mnist_cnn.evaluate run_dir=runs/gap/a" in call("show", "runs/gap/a")


def test_rank_shows_the_best_of_all_not_the_newest(call, folder):
    make_run(folder / "net" / "newest", "net", lr=0.02, acc=0.9, age=1)
    [best] = call("rank", "top=1").splitlines()[2:]
    assert best.split()[0] == "gap"
    assert "99.200 ± 0.141 %" in best  # of both seeds


def change(run: Path, protocol: dict[str, Any] | None = None, **record: Any) -> None:
    saved = json.loads((run / "metrics.json").read_text())
    saved["protocol"] |= protocol or {}
    (run / "metrics.json").write_text(json.dumps(saved | record))


def test_rank_keeps_other_images_and_changed_code_apart(call, folder):
    """Runs of earlier versions, whose records have neither, stay with all that is of one kind."""

    def counts() -> list[str]:
        lines = call("rank").partition("\n\n")[0].splitlines()[2:]
        return sorted(line.partition("MNIST")[2].partition("9")[0].strip() for line in lines)

    for seed, (images, code) in enumerate([("e", "1"), ("e", "1"), ("f", "1"), ("f", "2")], 3):
        run = make_run(folder / "gap" / str(seed), seed=seed)
        change(run, {"images": {"train": images}}, own_code={"mine": code})
    assert counts() == ["1", "1", "2", "2"]
    assert "differ in images or own code" in call("rank")
    for seed in (5, 6):
        change(folder / "gap" / str(seed), {"images": {"train": "e"}}, own_code={"mine": "1"})
    assert counts() == ["6"]
    change(folder / "gap" / "6", earlier_code={"mine": ["0"]})
    assert counts() == ["1", "2", "3"]
    assert "changed while it was trained: mine" in call("show", "runs/gap/6")
    change(folder / "gap" / "5", {"images": {"train": "f"}}, own_code={"mine": "2"})
    differences = {line.split()[0] for line in call("diff", "runs/gap/4", "runs/gap/5").splitlines()[2:]}
    assert {"own_code.mine", "images.train"} <= differences


def test_rank_says_where_a_seed_is_repeated(call, folder):
    make_run(folder / "gap" / "again", seed=1, acc=0.991)
    assert "3 (seed 1 repeated)" in call("rank")


def test_rank_takes_folds_together_apart_from_runs_without_one(call, folder):
    for fold, accuracy in enumerate([0.97, 0.98]):
        run = make_run(folder / "folds" / str(fold), acc=accuracy)
        record = json.loads((run / "metrics.json").read_text())
        record["protocol"] |= {"fold": fold, "folds": 5, "summary": f"validation on fold {fold} of 5 (0 to 4)"}
        (run / "metrics.json").write_text(json.dumps(record))
        (run / "overrides.yaml").write_text(yaml.safe_dump(["model=gap", f"data.fold={fold}"]))
    whole, folds = call("rank").splitlines()[2:]
    assert "99.200 ± 0.141 %" in whole
    assert "97.500 ± 0.707 %" in folds
    assert "data.fold" not in folds
    with pytest.raises(RunError, match="runs/folds: folds share most of their training images"):
        mc.compare_runs("runs/folds", "runs/gap")


def test_a_run_without_validation_is_listed_and_ranked_last(call, folder):
    figures = {"best_epoch": None, "val/top1": 0.999, "best/top1": 0.999, "test/top1": 0.9}
    for name, monitor in (("none", None), ("top1", "val/top1")):
        make_run(folder / "own" / name, "net", lr=0.7, config_digest=name, figures=figures, monitor=monitor)
    assert [line.split()[0] for line in call("rank").splitlines()[2:5]] == ["gap", "net", "net"]
    assert "99.90" not in call() + call("rank")


def test_clean_removes_what_failed_and_nothing_that_a_summary_reads(call, folder):
    asked = call("clean")
    assert "say yes=true" in asked
    assert (folder / "vanilla/c").exists()
    call("clean", "yes=true")
    assert sorted(str(file.parent.relative_to(folder)) for file in folder.rglob("metrics.json")) == [
        "gap/a", "gap/b", "multirun/s/0",
    ]  # fmt: skip


def test_clean_spares_a_run_that_began_while_it_asked(call, folder, monkeypatch):
    lock = FileLock(folder / "gap/a/.lock")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda *words: lock.acquire() and "yes")
    try:
        answer = call("clean", "what=runs", "seed=1", "model=gap")
    finally:
        lock.release()
    assert "removed: 0 runs, 0 bytes" in answer
    assert (folder / "gap/a/metrics.json").is_file()


def test_clean_keeps_the_tested_weights_and_runs_that_are_being_trained(call, folder):
    with FileLock(folder / "gap/a/.lock"):
        call("clean", "what=checkpoints", "yes=true")
        assert "nothing to clean up" in call("clean", "what=runs", "seed=1", "model=gap", "yes=true")
    left = {str(file.relative_to(folder)) for file in folder.glob("gap/*/checkpoints/*")}
    assert left == {"gap/a/checkpoints/best.ckpt", "gap/a/checkpoints/last.ckpt", "gap/b/checkpoints/last.ckpt"}
    assert "say which" in call("clean", "what=runs", "yes=true")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "runs/gap/k1"], "runs/gap/k1: no such folder"),
        (["runs/k1"], "runs/k1: no such folder"),
        (["shw"], "neither a folder nor a command; did you mean 'show'?"),
        (["optimiser.lr=3"], "optimiser.lr: no run has it; did you mean 'optimizer.lr'?"),
        (["status=complete"], "status=complete: no such status; did you mean 'completed'?"),
        (["age>3parsecs"], "with one of the units"),
        (["age>1.2.3d"], "with one of the units"),
        (["sort=val/accc"], "did you mean 'val/acc'?"),
        (["top=0"], "top = 0: must be int >= 1"),
        (["show", "runs/multirun/s"], "a sweep: name one of its jobs"),
        (["diff", "runs/gap/a"], "needed: 2 run directories"),
        (["nowhere"], "neither a folder nor a command"),
    ],
)
def test_a_mistake_is_answered_in_one_line(call, arguments, expected):
    answer = call(*arguments)
    assert answer.startswith("exit 2")
    assert expected in answer
    assert len(answer.splitlines()) == 1


def test_a_file_that_a_training_replaces_meanwhile_has_no_size(call, monkeypatch):
    walk = os.walk
    monkeypatch.setattr(
        os, "walk", lambda path: ((here, below, [*names, "gone.tmp"]) for here, below, names in walk(path))
    )
    assert len(listed(call())) == 5


def test_runs_as_dictionaries(folder):
    rows = mc.list_runs(folder, "status=completed", sort="val/acc", columns=["optimizer.lr"])
    assert [(row["seed"], row["val/acc"], row["optimizer.lr"]) for row in rows] == [(2, 0.993, 0.01), (1, 0.991, 0.01)]
    with pytest.raises(ConfigError, match="must be a test"):
        mc.list_runs(folder, "gap")


def test_a_list_needs_no_pytorch():
    code = "import sys, mnist_cnn.runs.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
