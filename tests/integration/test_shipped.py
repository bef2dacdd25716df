"""The nets that come with the package."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnist_cnn as mc
from mnist_cnn.config.place import NETS
from mnist_cnn.errors import RunError
from mnist_cnn.runs.shipped import shipped

TEACHERS = ["teacher_1", "teacher_2", "teacher_3"]


def digits() -> np.ndarray:
    """(10, 28, 28): validation images of MNIST, from 0 to 9."""
    row = np.asarray(Image.open(Path(__file__).parents[1] / "fixtures" / "digits.png"))
    return np.stack(np.split(row, 10, axis=1))


def test_the_shipped_net_reads_and_says_how_it_was_made():
    assert mc.load("gap").predict(digits()).tolist() == list(range(10))
    record = json.loads((NETS / "gap" / "metrics.json").read_text())
    assert record["command"] == ["python", "-m", "mnist_cnn.train", "model=gap", "seed=1"]
    assert record["figures"]["test/acc"] > 0.994
    assert not record["git"]["dirty"]
    assert shipped() == ["gap", *TEACHERS]
    assert sum(file.stat().st_size for file in (NETS / "gap").rglob("*") if file.is_file()) < 50_000


@pytest.mark.parametrize("name", TEACHERS)
def test_a_shipped_teacher_reads_and_never_saw_the_validation_or_test_images(name: str):
    assert mc.load(name).predict(digits()).tolist() == list(range(10))
    record = json.loads((NETS / name / "metrics.json").read_text())
    assert record["command"][3:5] == ["experiment=records/teacher", f"seed={name[-1]}"]
    assert (record["protocol"]["test"], record["figures"].get("test/acc")) == ("never", None)
    assert record["figures"]["val/acc"] > 0.995
    assert not record["git"]["dirty"]
    assert sum(file.stat().st_size for file in (NETS / name).rglob("*") if file.is_file()) < 400_000


def test_a_name_is_the_shipped_net_and_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gap").mkdir()
    assert mc.load("gap").scale.mean > 33
    for path in ("./gap", Path("gap"), "gap/"):
        with pytest.raises(RunError, match="not a run directory"):
            mc.load(path)
