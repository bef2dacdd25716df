"""Data modules of somebody's own: what they must give, and what is refused before training."""

import re
import shlex
import sys

import pytest
from conftest import metrics_of
from own_data import bars
from test_data import without_times

import mnist_cnn as mc
from mnist_cnn import evaluate, validate
from mnist_cnn.config.compose import config_dir
from mnist_cnn.runs.directory import Run


@pytest.fixture
def digits(own):
    return [
        "model=vanilla",
        "trainer=cpu",
        "figures=false",
        "data=own",
        "data._target_=my_data.WithTest",
        "data.count=40",
    ]


def test_a_data_module_of_somebodys_own(cli, digits, tmp_path, capsys):
    assert cli(*digits, "data.kind=uint8", "trainer.max_epochs=2", "hydra.run.dir=run") == 0
    protocol = metrics_of(Run(tmp_path / "run"))["protocol"]
    assert (protocol["validate_on"], protocol["dataset"], protocol["train_images"]) == ("own", "WithTest", 40)
    assert cli(*digits, "data.kind=uint8", "trainer.max_epochs=1", "hydra.run.dir=half") == 0
    assert cli("resume=half", "trainer.max_epochs=2") == 0
    assert without_times(Run(tmp_path / "half")) == without_times(Run(tmp_path / "run"))
    assert cli("run_dir=run", main=evaluate.main) == 0
    assert mc.load(tmp_path / "run").predict(bars(3)[0]).shape == (3,)


def test_a_stream_is_taken_as_it_comes(cli, digits, tmp_path):
    call = [text for text in digits if not text.startswith("data._target_")]
    assert cli(*call, "data._target_=my_data.Stream", "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    assert [row["images"] for row in Run(tmp_path / "run").history()] == [40]


def test_a_test_dataloader_without_a_loader_is_no_test(cli, digits, tmp_path):
    call = [text for text in digits if not text.startswith("data._target_")]
    assert cli(*call, "data._target_=my_data.TestsNothing", "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    metrics = metrics_of(Run(tmp_path / "run"))
    assert (metrics["protocol"]["test"], metrics["figures"].get("test/acc")) == ("none", None)
    assert cli("run_dir=run", main=evaluate.main) == 2


def test_the_data_module_of_the_documentation(cli, tmp_path, monkeypatch):
    page = (config_dir().parent / "docs" / "extend.md").read_text().partition("\n## Data\n")[2].partition("\n## ")[0]
    (tmp_path / "my_data.py").write_text(re.search(r"```python\n(.*?)```", page, re.S)[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_data", raising=False)
    command = re.search(r"^python -m mnist_cnn\.train (.*)$", page, re.M)[1]
    assert cli(*shlex.split(command), "trainer=cpu", "hydra.run.dir=run") == 0
    protocol = metrics_of(Run(tmp_path / "run"))["protocol"]
    assert (protocol["class_names"], protocol["test"]) == (["left", "right"], "none")


def test_names_of_classes_may_be_numpys(cli, digits, tmp_path):
    code = """
import numpy as np

import my_data


class Named(my_data.WithTest):
    class_names = np.array([f"class {number}" for number in range(10)])
"""
    (tmp_path / "named.py").write_text(code)
    assert cli(*digits, "data._target_=named.Named", "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    assert mc.load("run").class_names[:2] == ["class 0", "class 1"]


def test_a_data_module_that_takes_nothing(cli, digits, capsys):
    own = ["data=own", "data._target_=my_data.WithoutArguments"]
    assert cli("model=vanilla", *own, "rehearse=false", main=validate.main) == 0


BAD_OWN = {
    "no channel": (["data.shape=[28,28]"], ["images have shape (8, 28, 28); needed: (N, 1, 28, 28)"]),
    "colours": (["data.shape=[3,28,28]"], ["images have shape (8, 3, 28, 28)"]),
    "long integers": (["data.kind=int64"], ["images are torch.int64; needed: floats, or uint8"]),
    "too many classes": (["data.most=12"], ["labels from", "needed: 0 to 9"]),
    "validation without labels": (
        ["data._target_=my_data.ValidatesOnImagesAlone"],
        ["ValidatesOnImagesAlone: a batch is a list; needed: two"],
    ),
    "argument that it has not": (["data.cuont=3"], ["data.cuont: unknown key", "'data.count'"]),
}


@pytest.mark.parametrize("name", BAD_OWN)
def test_a_batch_that_no_net_can_read_is_refused_before_training(cli, digits, capsys, name):
    arguments, said = BAD_OWN[name]
    assert cli(*digits, *arguments) == 2
    message = capsys.readouterr().err
    assert all(words in message for words in said), message
    assert "Traceback" not in message


@pytest.mark.parametrize("in_validation", [False, True])
def test_a_bad_label_after_the_first_batch_is_told_as_such(cli, digits, capsys, in_validation):
    call = [text for text in digits if not text.startswith(("data._target_", "model="))]
    bad = ["data._target_=my_data.MislabelledLater", "data.bad=30", f"data.in_validation={in_validation}"]
    assert cli(*call, *bad, "model=gap", "trainer.max_epochs=1") == 2
    message = capsys.readouterr().err
    assert "MislabelledLater: labels from 0 to 5; needed: 0 to 1 (its class_names say" in message
    assert "IndexError" not in message


def test_a_loader_of_ones_own_has_images_that_nobody_else_knows(own, cli, tiny_overrides, tmp_path):
    code = """
from mnist_cnn.data.datamodule import MNISTDataModule


class Backwards(MNISTDataModule):
    def setup(self, stage=None):
        super().setup("fit" if stage == "test" else stage)

    def test_dataloader(self):
        return self.val_dataloader()
"""
    (tmp_path / "backwards.py").write_text(code)
    own_module = ["data._target_=backwards.Backwards", *tiny_overrides, "hydra.run.dir=run"]
    assert cli("model=gap", "model.stages=[[2],[3]]", "trainer.max_epochs=1", *own_module) == 0
    files = ("predictions.csv", "predictions_val.csv")
    heads = {name: (tmp_path / "run" / name).read_text().splitlines()[0] for name in files}
    assert heads["predictions.csv"] == "image,label,predicted,probability"
    assert heads["predictions_val.csv"] == "image,label,predicted,probability,source"
