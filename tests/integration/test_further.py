"""What evaluate says beyond accuracy."""

import functools
import math
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from torch.nn.functional import one_hot

from mnist_cnn import evaluate
from mnist_cnn.config.compose import compose_named
from mnist_cnn.data.corruptions import CORRUPTIONS, corrupted
from mnist_cnn.data.views import shifted_views
from mnist_cnn.report import further
from mnist_cnn.report.calibration import calibration, class_figures, fitted_temperature, mean_of_probabilities


@pytest.fixture
def two_runs(cli, tiny_overrides, tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for seed, run in enumerate(runs):
        fit = ["model=gap", "model.stages=[[2],[3]]", "trainer.max_epochs=1", f"seed={seed}", f"hydra.run.dir={run}"]
        assert cli(*fit, *tiny_overrides) == 0
    return runs


def noisy_truth(noise, members, images):
    """Logits, right without noise."""
    random = torch.Generator().manual_seed(0)
    return 5 * one_hot(images.labels, 10) + noise * torch.randn(len(images), 10, generator=random)


def test_details_corruptions_and_ensembles(cli, capsys, two_runs, tiny_overrides, own, tmp_path):
    one, two = two_runs
    for call in (
        [f"run_dir={one}", "details=true", "corruptions=true", "shifts=true"],
        [f"ensemble=[{one},{two}]"],
    ):
        assert cli(*call, main=evaluate.main) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        "precision",
        "calibration error",
        "no temperature: none from 0.05 to 20 fits the 80 validation images",
        "gaussian noise",
        "nine views",
        "ensemble of 2",
    ):
        assert words in printed
    assert sorted(file.name for file in (one / "evaluation").iterdir()) == ["reliability.png", "surest_mistakes.png"]
    given = compose_named("evaluate", [f"ensemble=[{one},{one}]", "details=true", "out=same"])
    same, alone = evaluate.evaluate(given), evaluate.evaluate(compose_named("evaluate", [f"run_dir={one}"]))
    assert same["ensemble/acc"] == pytest.approx(alone["test/acc"])  # twice the same net is that net
    assert same["ensemble/loss"] == pytest.approx(alone["test/loss"], rel=1e-4)
    assert OmegaConf.is_config(given)
    lit = ["model=net", "model._target_=my_nets.Lit", "callbacks.checkpoint.monitor=val/top1", "hydra.run.dir=lit"]
    assert cli(*lit, "trainer.max_epochs=1", *tiny_overrides) == 0
    assert cli(f"ensemble=[{one},lit]", main=evaluate.main) == 0
    lits = evaluate.evaluate(compose_named("evaluate", ["ensemble=[lit,lit]"]))
    lone = evaluate.evaluate(compose_named("evaluate", ["run_dir=lit"]))
    assert lits["ensemble/acc"] == pytest.approx(lone["test/top1"])
    other = tmp_path / "other"
    record = one / "metrics.json"
    shutil.copytree(one, other)
    (other / "metrics.json").write_text(record.read_text().replace('"split_seed": 2024', '"split_seed": 1'))
    capsys.readouterr()
    assert cli(f"ensemble=[{one},{other}]", "details=true", "out=mixed", main=evaluate.main) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "no temperature: not all runs kept the same images from training" in printed
    assert "temperature" not in same  # of a net that knows nothing
    for noise, words in ((0, "no temperature: none from 0.05 to 20"), (3, "which was fitted on 80 validation images")):
        said = functools.partial(noisy_truth, noise)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(further, "together", said)
            assert cli(f"run_dir={one}", "details=true", "out=right", main=evaluate.main) == 0
        assert words in " ".join(capsys.readouterr().out.split())
    shutil.copytree(one, tmp_path / "named")
    file = tmp_path / "named" / "metrics.json"
    file.write_text(file.read_text().replace('"0"', '"nought"'))
    wrong = {
        f"ensemble=[{one},named]": f"named: tells other classes apart (nought, 1, 2, 3, 4, 5, 6, 7, 8, 9) than {one}",
        f"ensemble=[{one}]": "needs two runs or more", "ensemble=3": "ensemble = 3",
        f"ensemble=[{one},{tmp_path}/no]": "no such checkpoint", f"run_dir={one} details=x": "details = 'x'",
        f"ensemble=[{one},{two}] run_dir={one}": "leave run_dir",
        f"run_dir={one} out=x.json": "out = 'x.json': only details=true draws plots",
        f"run_dir={one} details=true out={one}/metrics.json/x": "metrics.json: a file, not a folder",
        f"run_dir={one} details=true out=/proc/x": "/proc/x: cannot be written (",
        f"run_dir={one} details=true out={one}/metrics.json": "metrics.json: a file, not a folder",
    }  # fmt: skip
    capsys.readouterr()
    for call, words in wrong.items():
        assert cli(*call.split(), main=evaluate.main) == 2
        error = capsys.readouterr().err
        assert words in error
        assert len(error.splitlines()) == 1


def test_figures_of_classes_are_those_of_their_definitions():
    logits = torch.eye(3)[[0, 0, 1, 1, 1]]
    rows = class_figures(logits, torch.tensor([0, 1, 1, 1, 2]), ["a", "b", "c"])
    assert [(row.precision, row.recall) for row in rows] == [(0.5, 1), (2 / 3, 2 / 3), (None, 0)]
    assert [row.f1 for row in rows] == [pytest.approx(2 / 3), pytest.approx(2 / 3), 0]


def test_the_temperature_is_the_one_that_the_logits_were_made_with():
    torch.manual_seed(0)
    true = torch.randn(20_000, 5) * 2
    labels = torch.distributions.Categorical(logits=true).sample()
    assert calibration(true, labels)[0] < 0.01
    assert calibration(true * 3, labels)[0] > 0.1
    assert fitted_temperature(true * 3, labels) == pytest.approx(3, rel=0.05)
    half = torch.tensor([[0.0, math.log(3)]])
    assert mean_of_probabilities([half, -half + math.log(3)]).exp().tolist() == [[pytest.approx(0.5)] * 2]


def test_nine_views_are_the_image_and_its_neighbours_with_nothing_moved_in():
    image = torch.arange(1, 13, dtype=torch.uint8).reshape(1, 1, 3, 4)
    first, *moved = shifted_views(image)
    assert torch.equal(first, image)
    assert len({tuple(view.flatten().tolist()) for view in [first, *moved]}) == 9
    down = torch.tensor([[[[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]]], dtype=torch.uint8)
    assert any(torch.equal(view, down) for view in moved)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_more_when_it_is_strong_and_is_the_same_every_time(name):
    images = torch.zeros(50, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 6:22, 9:12], images[:, :, 6:9, 9:20] = 255, 255
    far = [float((corrupted(images, name, s).float() - images.float()).abs().mean()) for s in range(1, 6)]
    assert 1 < far[0] < 0.8 * far[-1]
    assert far[0] == min(far)
    assert torch.equal(corrupted(images, name, 3), corrupted(images, name, 3))
