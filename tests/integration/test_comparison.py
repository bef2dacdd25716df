"""What a training leaves for a comparison, and two trainings compared."""

import json
from pathlib import Path

import numpy as np
import pytest

import mnist_cnn as mc
from mnist_cnn.compare.__main__ import main


def test_runs_keep_what_the_tested_weights_said_of_the_validation_images(cli, tmp_path, tiny_overrides, capsys):
    options = ["model=sequential", "trainer.max_epochs=2", "callbacks=[checkpoint,ema]", *tiny_overrides]
    one, other = (mc.fit(*options, f"hydra.run.dir={tmp_path}/{seed}", seed=seed) for seed in (1, 2))
    for result in (one, other):
        for split, accuracy in (("val", result.record.validation), ("test", result.figures["test/acc"])):
            table = np.loadtxt(result.run.predictions_of(split), delimiter=",", skiprows=1)
            assert len(table) == {"val": 80, "test": 100}[split]
            assert np.mean(table[:, 1] == table[:, 2]) == pytest.approx(accuracy)
    capsys.readouterr()
    assert cli(str(one.run.path), str(other.run.path), "figure=val/acc", "format=json", main=main) == 0
    found = json.loads(capsys.readouterr().out)
    same = found["same_images"]
    assert (same["only_b"] - same["only_a"]) / 80 == pytest.approx(found["differences"]["val/acc"]["value"])
    assert (found["winner"], found["differences"]["val/acc"]["p"]) == (None, None)
    assert Path(one.run.path, "predictions_val.csv").is_file()
    fewer = two_thirds(other.run.predictions_of("test"))
    assert fewer < 100
    assert cli(str(one.run.path), str(other.run.path), main=main) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Predictions of the same images are not kept by both" in printed
    assert "No winner is called on test/acc" in printed


def two_thirds(predictions: Path) -> int:
    """As of a smaller set of test images; how many are left."""
    lines = predictions.read_text().splitlines(keepends=True)
    kept = lines[: 2 * len(lines) // 3]
    predictions.write_text("".join(kept))
    return len(kept)
