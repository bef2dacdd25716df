"""A start that fails leaves the world as it was; one that was killed can be begun again; nothing finished is lost."""

import errno
import os
import re
import socket
from pathlib import Path

import pytest
from conftest import metrics_of
from test_resume import FEW, Killed, kill_in_epoch, killed_in_epoch, same

import mnist_cnn as mc
import mnist_cnn.reproduce.__main__ as reproduce
import mnist_cnn.search.__main__ as search
from mnist_cnn import evaluate, train
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.record import Record

SMALL = ["model=bn_dropout", "trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def whole(tiny_overrides, tmp_path_factory) -> Run:
    return mc.fit(*SMALL, *tiny_overrides, *FEW, f"hydra.run.dir={tmp_path_factory.mktemp('whole')}/run").run


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("way", ["resume", "same command", "auto"])
def test_a_run_killed_in_its_first_epoch_begins_again(cli, whole, tiny_overrides, tmp_path, monkeypatch, way):
    command = [*SMALL, *tiny_overrides, *FEW]
    parts = killed_in_epoch(0, cli, monkeypatch, tmp_path / "runs" / "parts", command)
    left = parts.path / f".metrics.json.{dead_process()}.partial", parts.path / f".metrics.json.{os.getppid()}.partial"
    for file in left:
        file.touch()
    again = {
        "resume": [f"resume={parts.path}"],
        "same command": [*command, f"hydra.run.dir={parts.path}"],
        "auto": [*command, "resume=auto"],
    }
    assert cli(*again[way]) == 0
    same(whole, parts)
    text = parts.log_file.read_text()
    assert text.index("the run failed") < text.index("starts from its beginning")
    assert [file.exists() for file in left] == [False, True]


def dead_process() -> int:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_other_settings_in_the_directory_of_a_killed_run_are_refused(
    cli, tiny_overrides, tmp_path, monkeypatch, capsys
):
    parts = killed_in_epoch(0, cli, monkeypatch, tmp_path / "parts", [*SMALL, *tiny_overrides, *FEW])
    before = contents(parts.path)
    assert cli(*SMALL, *tiny_overrides, *FEW, "optimizer.lr=0.5", f"hydra.run.dir={parts.path}") == 2
    message = capsys.readouterr().err
    assert "optimizer.lr = 0.5, was" in message
    assert f"resume={parts.path}" in message
    assert contents(parts.path) == before


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "metrics.json")


@pytest.mark.parametrize("what", ["data", "disk", "lock"])
def test_a_new_run_that_cannot_start_leaves_nothing(cli, tiny_overrides, tmp_path, monkeypatch, capsys, what):
    wrong = {"data": ["data=custom", "data.root=nowhere"], "disk": [], "lock": [f"hydra.run.dir={tmp_path}/file/run"]}
    (tmp_path / "file").touch()
    if what == "disk":
        monkeypatch.setattr(Record, "save", full_disk)
    before = contents(tmp_path)
    assert cli(*SMALL, *tiny_overrides, *wrong[what]) in (1, 2)
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert contents(tmp_path) == before


def test_a_folder_with_files_of_others_keeps_them_and_no_more(cli, tiny_overrides, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "train.log").write_text("mine\n")
    before = contents(tmp_path)
    assert cli(*SMALL, *tiny_overrides, "data.root=nowhere", f"hydra.run.dir={folder}") == 2
    assert contents(tmp_path) == before


def test_a_longer_training_that_cannot_start_leaves_a_finished_run_alone(cli, whole, tmp_path, capsys):
    before = contents(whole.path)
    (tmp_path / "file").touch()
    assert cli(f"resume={whole.path}", "trainer.max_epochs=3", f"data.root={tmp_path}/file") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert contents(whole.path) == before


def test_old_figures_stay_until_the_new_ones_are_there(cli, tiny_overrides, tmp_path, monkeypatch):
    longer, parts = Run(tmp_path / "longer"), Run(tmp_path / "parts")
    recipe = ["model=bn_dropout", *tiny_overrides, *FEW]
    assert cli(*recipe, "trainer.max_epochs=3", f"hydra.run.dir={longer.path}") == 0
    assert cli(*recipe, "trainer.max_epochs=1", f"hydra.run.dir={parts.path}") == 0
    old = metrics_of(parts)
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 2)
        with pytest.raises(Killed):
            cli(f"resume={parts.path}", "trainer.max_epochs=3")
    now = metrics_of(parts)
    assert (now["status"], now["figures"]) == ("failed", old["figures"])
    assert cli(f"resume={parts.path}") == 0
    same(longer, parts)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def test_files_of_others_are_never_replaced(cli, tiny_overrides, tmp_path, capsys):
    for name, make in {
        "metrics.json": os.mkfifo,
        "train.log": os.mkdir,
        "config.yaml": lambda path: path.symlink_to(tmp_path / "nowhere"),
        "metrics.csv": make_socket,
    }.items():
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        make(folder / name)
        before = contents(folder)
        assert cli(*SMALL, *tiny_overrides, f"hydra.run.dir={folder}") == 2, name
        message = capsys.readouterr().err
        assert re.search(rf"{re.escape(str(folder / name))}: a (FIFO|folder|link|socket), no file of ours", message)
        assert contents(folder) == before


def test_a_setting_changed_by_hand_is_named(cli, whole, tmp_path, capsys, tiny_overrides, monkeypatch):
    parts = killed_in_epoch(1, cli, monkeypatch, tmp_path / "parts", [*SMALL, *tiny_overrides, *FEW])
    saved = parts.config_file.read_text()
    parts.config_file.write_text(saved.replace("\nseed: 1\n", "\nseed: 2\n"))
    assert parts.config_file.read_text() != saved
    assert cli(f"resume={parts.path}") == 2
    assert "config.yaml: changed since" in (message := capsys.readouterr().err)
    assert "seed = 2, was 1" in message
    parts.config_file.write_text(saved.replace("eval_batch_size: ", "eval_batch_size: 1"))  # may change
    assert cli(f"resume={parts.path}") == 0
    same(whole, parts)


EMPTY = [
    (train, "run_root="), (train, "hydra.run.dir="), (train, "resume="), (train, "data.root="), (train, "weights="),
    (evaluate, "run_dir="), (evaluate, "data_root="), (search, "directory="), (reproduce, "run_root="),
    (reproduce, "results="),
]  # fmt: skip


@pytest.mark.parametrize(("module", "override"), EMPTY, ids=lambda each: getattr(each, "__name__", each))
def test_an_empty_path_is_no_path(cli, tmp_path, capsys, module, override):
    assert cli(override, main=module.main) == 2
    assert f"{override.removesuffix('=')} = '': is empty; must be text" in capsys.readouterr().err
    assert contents(tmp_path) == {}


def test_a_search_a_sweep_and_a_run_keep_to_directories_of_their_own(cli, whole, tmp_path, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.yaml").write_text("arguments: []\njobs: []\n")
    before = contents(tmp_path), contents(whole.path)
    calls = {
        "a training run": (search, [f"directory={whole.path}"]),
        "a sweep, no search": (search, ["directory=sweep"]),
        "a file, not a folder": (search, ["directory=file"]),
        "holds a run": (train, ["-m", "seed=1,2", f"hydra.sweep.dir={whole.path}"]),
        "holds a sweep": (train, ["hydra.run.dir=sweep"]),
        "file: a file": (reproduce, ["results=file", "dry_run=true"]),
    }
    for said, (module, call) in calls.items():
        assert cli(*call, main=module.main) == 2, said
        assert said in capsys.readouterr().err
    assert (contents(tmp_path), contents(whole.path)) == before
