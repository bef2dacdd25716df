"""Every preset really trains: the documents' experiments, the records, the nets that were trained for speed."""

import csv

import pytest
from conftest import metrics_of

from mnist_cnn.config.compose import config_dir

PRESETS = sorted(
    str(f.relative_to(config_dir() / "experiment").with_suffix("")) for f in config_dir().glob("experiment/*/*")
)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_one_epoch(cli, tiny_overrides, run_of, preset):
    overrides = [o for o in tiny_overrides if not o.startswith("data.batch_size")]
    assert cli(f"experiment={preset}", *overrides, "trainer.max_epochs=1") == 0
    metrics = metrics_of(run_of())
    assert metrics["status"] == "completed"
    of_a_document = not preset.startswith(("speed/", "records/"))
    assert metrics["protocol"]["test_images_watched"] is of_a_document
    if preset == "records/teacher":
        assert "test/acc" not in metrics["figures"]
    else:
        assert (metrics["figures"]["test/acc"] == metrics["figures"]["val/acc"]) is of_a_document


@pytest.mark.slow
def test_the_grid_runs_its_eight_cells(cli, tiny_overrides, tmp_path):
    overrides = [o for o in tiny_overrides if not o.startswith("data.batch_size")]
    assert cli("-m", "experiment=ablation/grid", *overrides, "trainer.max_epochs=1") == 0
    assert len(list(tmp_path.rglob("metrics.json"))) == 8


def test_the_speed_presets_validate_once_after_training(cli, tiny_overrides, run_of):
    assert cli("experiment=speed/cpu_994", "trainer.max_epochs=2", *tiny_overrides) == 0
    run = run_of()
    with run.history_file.open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["val/acc"]) for row in rows] == [False, True]
    assert metrics_of(run)["figures"]["val/acc"] == float(rows[1]["val/acc"])
