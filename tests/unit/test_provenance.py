"""Every kept figure is what one run left: clean code, a commit in the history, untouched since."""

import csv
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mnist_cnn.runs.answers import ENSEMBLES, MISSED
from mnist_cnn.runs.provenance import SUPERSEDED, is_shallow, unsound
from mnist_cnn.runs.record import Record

ROOT = Path(__file__).parents[2]
FIGURES = {"best_epoch": 2, "train/loss": 0.2, "train/acc": 0.9, "val/loss": 0.3, "val/acc": 0.8, "test/acc": 0.8}


@pytest.mark.skipif(is_shallow(ROOT), reason="a shallow clone, or none: git does not tell where files come from")
def test_every_file_in_results_is_of_one_run_from_a_clean_commit_and_never_changed():
    assert unsound(ROOT) == {}


def test_what_is_superseded_has_its_reasons_and_nothing_else_is_exempt():
    folder = ROOT / "results" / SUPERSEDED
    with (folder / "reasons.csv").open() as file:
        reasons = {row["file"]: row["reasons"] for row in csv.DictReader(file)}
    kept = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert set(reasons) == kept - {"README.md", "reasons.csv"}
    assert all(reasons.values())
    others = {file for file in (ROOT / "results").rglob("*") if file.is_file() and folder not in file.parents}
    assert {file for file in others if file.suffix not in (".json", ".csv")} <= {
        ROOT / "results" / part / "log.md" for part in ("use", "cluster")
    }


class Checkout:
    """A repository with an empty first commit."""

    def __init__(self, path: Path) -> None:
        self.path, self.results = path, path / "results"
        self.results.mkdir(parents=True)
        self.git("init", "-q")
        self.first = self.commit("--allow-empty")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *arguments], cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, *arguments: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "m", *arguments)
        return self.git("rev-parse", "HEAD")

    def keep(self, name: str, seed: int = 1, commit: str = "", dirty: bool = False, **changes: Any) -> Path:
        """A run's two files."""
        file = self.results / f"{name}.json"
        fields: dict[str, Any] = {
            "status": "completed", "seed": seed, "epochs": 2, "figures": FIGURES,
            "git": {"commit": commit or self.first, "dirty": dirty},
        }  # fmt: skip
        Record.model_validate(fields | changes).save(file)
        rows = ["epoch,train/loss,train/acc,val/loss,val/acc", f"1,0.5,0.5,0.{seed},0.5", "2,0.2,0.9,0.3,0.8", ""]
        file.with_suffix(".csv").write_text("\n".join(rows))
        return file


def test_each_kind_of_unsound_file_is_found_with_its_reason(tmp_path):
    checkout = Checkout(tmp_path)
    for name in ("good_seed1", "renamed_seed1", "edited_seed1", "replaced_seed1", "open_seed1", "mixed_seed1"):
        checkout.keep(name)
    checkout.keep("dirty_seed1", dirty=True)
    checkout.keep("foreign_seed1", commit="0" * 40)
    checkout.keep("unknown_seed1", git=None)
    checkout.keep("wrong_seed1", seed=2)
    checkout.keep("stopped_seed1", status="interrupted")
    (checkout.results / "alone.csv").write_text("epoch\n")
    checkout.keep("told_seed1", confusion=[[8, 0], [1, 1]])
    checkout.keep("untold_seed1", confusion=[[8, 1], [0, 1]])
    for folder in (MISSED, f"pair/{MISSED}", f"pair/{ENSEMBLES}"):
        (checkout.results / folder).mkdir(parents=True)
    for name in ("told", "untold"):
        (checkout.results / MISSED / f"{name}_seed1.csv").write_text("image,label,predicted\n7,1,0\n")
    for seed, row in ((1, "7,1,0"), (2, "7,1,0")):
        checkout.keep(f"pair/seed_{seed}", seed=seed, confusion=[[8, 0], [1, 1]])
        (checkout.results / "pair" / MISSED / f"seed_{seed}.csv").write_text(f"image,label,predicted\n{row}\n")
    for members, rows in (("1_2", "7,1,0\n"), ("2_2", "8,1,0\n"), ("2_3", "")):
        (checkout.results / "pair" / ENSEMBLES / f"seeds_{members}.csv").write_text(f"image,label,predicted\n{rows}")
    checkout.commit()
    assert set(unsound(checkout.path)) & {"results/edited_seed1.json", "results/renamed_seed1.json"} == set()

    checkout.git("mv", "results/renamed_seed1.json", "results/new_seed1.json")
    checkout.git("mv", "results/renamed_seed1.csv", "results/new_seed1.csv")
    edited = checkout.results / "edited_seed1.json"
    before = edited.read_text()
    edited.write_text(before.replace("0.8", "0.7"))
    for suffix in (".json", ".csv"):
        (checkout.results / f"replaced_seed1{suffix}").unlink()
    second = checkout.commit()
    edited.write_text(before)  # put back, and still found
    checkout.keep("replaced_seed1", commit=second)
    checkout.commit()
    for name in ("open_seed1.json", "mixed_seed1.csv"):
        file = checkout.results / name
        file.write_text(file.read_text().replace("0.3", "0.4"))
    changed = "changed after it was added, not committed"
    replaced = f"changed or replaced after it was added, by commit {second[:7]}"
    pair = {
        "dirty": f"run by code that was not committed, beside commit {checkout.first[:7]}",
        "foreign": "its commit 0000000 is not in the history",
        "unknown": "its commit is not recorded",
        "wrong": "of seed 2",
        "stopped": "its run is interrupted",
    }
    assert unsound(checkout.path) == {
        **{f"results/{name}_seed1{suffix}": [reason] for name, reason in pair.items() for suffix in (".csv", ".json")},
        "results/alone.csv": ["no record beside it"],
        "results/missed/untold_seed1.csv": ["not what the confusion matrix of the record beside it counts"],
        "results/pair/ensembles/seeds_2_2.csv": [
            "right where all its members say the same wrong class",
            "wrong where all its members are right",
        ],
        "results/pair/ensembles/seeds_2_3.csv": ["no record beside it"],
        "results/edited_seed1.json": [replaced],
        "results/mixed_seed1.csv": [changed, "of another run than the record beside it"],
        "results/open_seed1.json": [changed],
        "results/open_seed1.csv": ["of another run than the record beside it"],
        "results/replaced_seed1.csv": [replaced],
        "results/replaced_seed1.json": [replaced],
    }


def test_what_is_superseded_does_not_count_and_makes_room_for_its_successor(tmp_path):
    checkout = Checkout(tmp_path)
    old = checkout.keep("net_seed1", dirty=True)
    checkout.commit()
    (checkout.results / SUPERSEDED).mkdir()
    for suffix in (".json", ".csv"):
        file = old.with_suffix(suffix)
        checkout.git("mv", f"results/{file.name}", f"results/{SUPERSEDED}/{file.name}")
    commit = checkout.commit()
    checkout.keep("net_seed1", commit=commit)
    checkout.commit()
    assert unsound(checkout.path) == {}
    assert not is_shallow(checkout.path)
    assert is_shallow(tmp_path.parent)
