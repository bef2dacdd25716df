"""docs/extend.md: its files are written, its commands checked, and those of parts that PyTorch lacks are run."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from mnist_cnn import train, validate
from mnist_cnn.config.compose import config_dir

PAGE = config_dir().parent / "docs" / "extend.md"
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)) if PAGE.is_file() else {}
TRAINED = ("my_optim.SAM", "augment=mine", "hydra.run.dir=runs/donor")
MINE = ["Net", "LightningModule", "Loss", "Metrics", "Weights to start from"]
MINE += ["Optimizer", "Schedule", "Augmentation", "Averages of the weights", "Callbacks and loggers"]


@pytest.mark.parametrize("section", MINE)
def test_the_code_of_a_section_works(cli, tmp_path, monkeypatch, tiny_overrides, section):
    monkeypatch.syspath_prepend(tmp_path)
    for name, code in re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", SECTIONS[section], re.M | re.S):
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(code)
    short = [*tiny_overrides, "data.limit_train=64"]
    commands = re.findall(r"^python -m mnist_cnn\.train (.*)$", SECTIONS[section], re.M)
    assert commands
    for command in commands:
        runs = any(part in command for part in TRAINED)
        words = [*shlex.split(command), *short, "trainer.max_epochs=1" if runs else "rehearse=false"]
        assert cli(*words, main=train.main if runs else validate.main) == 0, command
