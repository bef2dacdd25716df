"""The files of an export: all of them or none, and what they say to who has nothing else."""

import contextlib
import json
import re
import resource
import shlex
import shutil
import subprocess
import tempfile

import pytest
import torch
from conftest import write_images
from own_data import write_folders

import mnist_cnn.export.__main__ as export
import mnist_cnn.inspect.__main__ as inspect
from mnist_cnn.data import datamodule
from mnist_cnn.export import made
from mnist_cnn.export.card import CARD
from mnist_cnn.runs.directory import Run

NEW = {"mnist_net.h": b"new", "mnist_net.c": b"new" * 1000}


@contextlib.contextmanager
def limited_files(size):
    """As on a full disk, larger files than `size` bytes cannot be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("old", [{}, {"mnist_net.h": b"old", "mnist_net.c": b"old"}], ids=["first", "forced"])
def test_a_disk_that_fills_leaves_what_was_there(tmp_path, old):
    folder = tmp_path / "export" / "c"
    if old:
        made.write(folder, old)
    with limited_files(1000), pytest.raises(OSError, match=r"mnist_net\.c"):
        made.write(folder, NEW)
    assert {file.name: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == old
    assert folder.exists() == bool(old)
    made.write(folder, NEW)
    assert (folder / "mnist_net.c").read_bytes() == NEW["mnist_net.c"]


def test_a_lone_checkpoint_says_its_images_or_that_it_does_not(cli, run_of, capsys, tmp_path):
    write_folders(tmp_path / "pets", 60)
    for number in range(3, 10):
        shutil.rmtree(tmp_path / "pets" / f"class_{number}")
    call = ["model=gap", "model.stages=[[2],[3]]", "trainer=cpu", "figures=false", "data=folder", "data.root=pets"]
    assert cli(*call, "debug=one_batch", "hydra.run.dir=run") == 0
    (tmp_path / "alone").mkdir()
    alone = shutil.copy(run_of().tested_checkpoint, tmp_path / "alone" / "net.ckpt")
    capsys.readouterr()
    assert cli(f"checkpoint={alone}", "format=torch", "data_root=pets", main=export.main) == 0
    assert "accuracy" in capsys.readouterr().out
    card = (tmp_path / "alone" / "export" / "torch" / CARD).read_text()
    assert "class_2" in card
    assert "| data | pets |" in card
    state = torch.load(alone, weights_only=True)
    del state["mnist_cnn"]["settings"]
    torch.save(state, alone)
    assert cli(f"checkpoint={alone}", "format=torch", "out=other", main=export.main) == 2
    assert "its run directory says which are its own: run_dir=" in capsys.readouterr().err


def test_the_card_of_a_net_whose_images_are_not_known_claims_nothing(run, cli, capsys, tmp_path, monkeypatch):
    state = torch.load(Run(run("model=gap", "model.stages=[[2],[3]]")).checkpoint("last"), weights_only=True)
    del state["mnist_cnn"]["settings"]
    torch.save(state, tmp_path / "mute.ckpt")
    write_images(tmp_path / "MNIST" / "raw")
    monkeypatch.setattr(datamodule, "prepare", lambda *_: None)  # these are not MNIST
    capsys.readouterr()
    call = ["checkpoint=mute.ckpt", "format=torch", f"data_root={tmp_path}", "out=mute"]
    assert cli(*call, main=export.main) == 0
    assert "mute.ckpt: does not say which images it was trained on; here: MNIST" in capsys.readouterr().out
    card = (tmp_path / "mute" / CARD).read_text()
    assert "10 classes apart; what they show, the checkpoint does not say" in card
    assert "no accuracy" in card
    assert "Yann LeCun" not in card


CPP = """
#include "mnist_net.h"
int main() {
    static const uint8_t pixels[MNIST_NET_PIXELS] = {0};
    float logits[MNIST_NET_CLASSES];
    return mnist_net_read(pixels, logits) < 0;
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ on the PATH")
def test_c_is_called_from_cpp(run, cli, tmp_path):
    path = run("model=gap", "model.stages=[[2],[3]]")
    assert cli(f"run_dir={path}", "format=c", "out=net", main=export.main) == 0
    folder = tmp_path / "net"
    (folder / "main.cpp").write_text(CPP)
    subprocess.run(["gcc", "-std=c99", "-c", "mnist_net.c"], cwd=folder, check=True)
    subprocess.run(["g++", "-Wall", "-Werror", "main.cpp", "mnist_net.o", "-o", "main"], cwd=folder, check=True)
    subprocess.run([folder / "main"], check=True)
    assert "/* Classes: 0:" in (folder / "mnist_net.h").read_text()


def test_the_card_says_what_a_run_is_and_shows_names_as_they_are(run, cli, capsys):
    names = ["a|b", "<i>", *map(str, range(2, 10))]
    named = f"data.class_names={names}".replace(" ", "")
    path = run("model=gap", "model.stages=[[2],[3]]", "test=never", named)
    record = json.loads((path / "metrics.json").read_text())
    record |= {"status": "interrupted", "max_epochs": 300}
    (path / "metrics.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert cli(f"run_dir={path}", "format=torch", main=export.main) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "80 validation images (the run never reads its test images): " in said
    assert "the run is interrupted; these are its weights after epoch 1 of 300" in said
    card = (path / "export" / "torch" / CARD).read_text()
    assert "| state | interrupted; these are its weights after epoch 1 of 300 |" in card
    assert "test images never read" in card
    assert "80 validation images (the run never reads its test images): " in card
    alone = shutil.copy(Run(path).tested_checkpoint, "alone.ckpt")
    [root] = [text.partition("=")[2] for text in record["command"] if text.startswith("data.root=")]
    assert cli(f"checkpoint={alone}", "format=torch", f"data_root={root}", main=export.main) == 0
    assert "80 validation images (the run never reads its test images): " in " ".join(capsys.readouterr().out.split())
    assert "apart: a|b, &lt;i&gt;, 2" in card
    [command] = [row.split("`")[1] for row in card.splitlines() if row.startswith("| command |")]
    assert re.search(r"(?<!\\)[|]", command) is None  # it would end the cell
    assert named in shlex.split(command.replace(r"\|", "|"))


@pytest.mark.parametrize("out", ["config.yaml/x", "config.yaml", "/proc/x"])
def test_a_folder_that_cannot_be_is_refused_before_the_work(run, cli, capsys, monkeypatch, out):
    path = run("model=gap", "model.stages=[[2],[3]]")
    monkeypatch.setattr(torch.export, "export", None)  # nothing is begun
    for program, words in ((export, ["format=torch"]), (inspect, [])):
        capsys.readouterr()
        assert cli(f"run_dir={path}", f"out={path / out}", *words, main=program.main) == 2
        said = capsys.readouterr()
        assert ("config.yaml: a file, not a folder" if "config" in out else "cannot be written (") in said.err
        assert "out=<folder>" in said.err or "config" in out
        assert not said.out


@pytest.mark.parametrize("form", ["c", "web"])
def test_a_full_temporary_folder_is_named(run, cli, capsys, monkeypatch, tmp_path, form):
    if form == "web" and shutil.which("node") is None:
        pytest.skip("there is no node on the PATH")
    path = run("model=gap", "model.stages=[[2],[3]]")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    capsys.readouterr()
    with limited_files(3000):
        assert cli(f"run_dir={path}", f"format={form}", main=export.main) == 2
    said = capsys.readouterr()
    assert f"format={form}: {tmp_path}: File too large; TMPDIR=<folder>" in said.err
    assert "reading 100 test images (" in said.out
