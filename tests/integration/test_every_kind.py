"""Every kind of net and of data that a user brings: killed and resumed, swept, and loaded where nothing else lies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import metrics_of
from own_data import write_all
from test_resume import killed_in_epoch, same

import mnist_cnn as mc
from mnist_cnn.runs.directory import Run

LIT = ["model=net", "model._target_=my_nets.Lit", "callbacks.checkpoint.monitor=val/top1"]
RES = ["model=net", "model._target_=my_nets.Res", "model.width=2", "model.loss._target_=my_nets.focal", "metrics=f1"]
DIGITS = ["data=own", "data._target_=my_data.WithTest", "data.count=40"]
TINY = ["data=idx", "data.root=tiny", "data.validation_size=80", "data.batch_size=32"]
NETS = {"module": [*LIT, *TINY], "net": [*RES, *TINY]}
DATA = {
    "data module": DIGITS,
    "idx": TINY,
    **{name: [f"data={name}", "data.root=pets", "data.batch_size=16"] for name in ("folder", "csv", "arrays")},
}
KINDS = {
    "both modules": [*LIT, *DIGITS],
    **NETS,
    **{name: ["model=sequential", *recipe] for name, recipe in DATA.items()},
}
SWEPT = {"both modules": ["model.width=2,3", "data.count=40,48"], "module": ["model.width=2,3"],
         "data module": ["data.count=40,48"]}  # fmt: skip
ALONE = """
import torch, mnist_cnn
torch.manual_seed(0)
print(mnist_cnn.load("run")(torch.rand(20, 1, 28, 28)).tolist())
"""


pytestmark = pytest.mark.slow


@pytest.fixture
def recipe(request, own, tiny, tmp_path) -> list[str]:
    """The words of a kind, whose data lie in the working folder."""
    words = KINDS[request.param]
    if "data.root=pets" in words:
        write_all(tmp_path / "pets")
    shutil.copytree(tiny, tmp_path / "tiny")
    return [*words, "trainer=cpu", "figures=false", "trainer.max_epochs=2"]


@pytest.mark.parametrize("recipe", KINDS, indirect=True)
def test_killed_in_the_second_epoch_and_resumed_it_equals_the_uninterrupted(cli, recipe, tmp_path, monkeypatch):
    assert cli(*recipe, f"hydra.run.dir={tmp_path}/whole") == 0
    parts = killed_in_epoch(1, cli, monkeypatch, tmp_path / "parts", recipe)
    assert (metrics_of(parts)["status"], len(parts.history())) == ("failed", 1)
    assert cli(f"resume={parts.path}") == 0
    whole = Run(tmp_path / "whole")
    same(whole, parts)
    first, second = (run.path / "submission.csv" for run in (whole, parts))
    if first.is_file():
        assert first.read_text() == second.read_text()

    torch.manual_seed(0)
    expected = mc.load(whole.path)(torch.rand(20, 1, 28, 28))
    assert printed_alone(parts, tmp_path) == f"{expected.tolist()}\n"


def printed_alone(run: Run, tmp_path: Path) -> str:
    """What a fresh process prints in a folder that holds a run and the user's files alone, after the rest has gone."""
    alone = tmp_path / "alone"
    shutil.copytree(run.path, alone / "run")
    for file in [*tmp_path.glob("my_*.py")]:
        shutil.move(file, alone)
    for folder in ("tiny", "pets", "whole", "parts"):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
    environment = os.environ | {"PYTHONPATH": str(Path(mc.__file__).parents[1])}
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=alone, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("recipe", "name"), [(n, n) for n in KINDS], indirect=["recipe"])
def test_it_is_swept(recipe, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    swept = SWEPT.get(name, ["seed=1,2"])
    rows = mc.fit_many(*recipe, *swept, "debug=one_batch", "jobs=2")
    assert len(rows) == 2 ** len(swept)
    for row in rows:
        record = metrics_of(Run(Path(row["directory"])))
        assert record["status"] == "completed"
        assert all(row[key.partition("=")[0]] in (1, 2, 3, 40, 48) for key in swept)
    assert len({tuple(row[key.partition("=")[0]] for key in swept) for row in rows}) == len(rows)
