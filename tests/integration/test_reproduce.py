"""The study runner on tiny data, with real processes."""

import os
import subprocess
import sys

import pytest

import mnist_cnn.reproduce.__main__ as reproduce
from mnist_cnn.reproduce.study import Document, Entry
from mnist_cnn.runs.directory import Run


@pytest.fixture
def study(monkeypatch, tiny_overrides):
    """Three entries: one net under two names, and one that diverges."""
    own = [*tiny_overrides, "trainer.max_epochs=1", "trainer.gradient_clip_val=null"]
    own = [o for o in own if o != "figures=false"]
    entries = [
        Entry("sigmoid", "first", "sigmoid/own_dense_baseline", own, {"acc": 0.1}),
        Entry("sigmoid", "diverging", "sigmoid/own_dense_baseline", [*own, "optimizer.lr=1e38"]),
        Entry("sigmoid", "twin", "sigmoid/own_dense_baseline", own),
    ]
    found = [Document("sigmoid", "001_x.txt", "Tiny", entries)]
    monkeypatch.setattr(reproduce, "documents", lambda: found)


def call(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["reproduce", *arguments])
    try:
        reproduce.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_it_goes_on_after_a_failure_and_runs_only_what_is_missing(study, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "protocol=document", "seeds=1", "jobs=2") == 1
    text = capsys.readouterr()
    assert "3 runs: 0 done, 3 to do" in text.out
    assert "sigmoid/diverging seed 1 (document protocol): failed: diverged" in text.out
    assert "1 of 2 runs failed" in text.err
    kept = {str(f.relative_to(tmp_path / "results")) for f in (tmp_path / "results").rglob("*.json")}
    assert kept == {f"reproduction/sigmoid/{name}/document/seed_1.json" for name in ("first", "twin")}
    assert Run(tmp_path / "runs/reproduction/sigmoid/twin/document/seed_1").completed
    assert "| first |" in (tmp_path / "docs/reproduction/sigmoid.md").read_text()

    assert call(monkeypatch, "protocol=document", "seeds=1", "sigmoid/first") == 0
    assert "1 run: 1 done, 0 to do" in capsys.readouterr().out
    for name in kept:
        (tmp_path / "results" / name).unlink()  # as where a call was killed between a training and its figures
    assert call(monkeypatch, "protocol=document", "seeds=1", "sigmoid/first", "sigmoid/twin") == 0
    assert all((tmp_path / "results" / name).is_file() for name in kept)
    capsys.readouterr()
    assert call(monkeypatch, "protocol=document", "seeds=1", "dry_run=true") == 0
    assert capsys.readouterr().out.splitlines() == [
        "3 runs: 2 done, 1 to do", "sigmoid/diverging seed 1 (document protocol)",
    ]  # fmt: skip


def test_a_dry_run_refuses_what_the_run_would_refuse(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    wrong = Document("sigmoid", "001_x.txt", "Tiny", [Entry("sigmoid", "wrong", None, ["model=gapp"])])
    monkeypatch.setattr(reproduce, "documents", lambda: [wrong])
    assert call(monkeypatch, "protocol=document", "seeds=1", "dry_run=true") == 2
    assert "'model/gapp'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_reader_that_has_read_enough_is_no_error(tmp_path):
    """As in `python -m mnist_cnn.reproduce dry_run=true | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "mnist_cnn.reproduce", "squeezed/squeeze_8", "dry_run=true"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
