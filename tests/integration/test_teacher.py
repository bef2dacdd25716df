"""Training with the answers of a trained net for labels."""

import pytest
import torch
import torch.nn.functional as F
from conftest import metrics_of
from own_data import write_folders

import mnist_cnn as mc
from mnist_cnn import train
from mnist_cnn.config.build import build_data
from mnist_cnn.config.compose import compose_run
from mnist_cnn.data.resident import ResidentLoader
from mnist_cnn.runs.directory import Run
from mnist_cnn.training.teacher import learn_from


def taught(tiny_overrides, *overrides):
    cfg = compose_run(["model=sequential", *overrides, *tiny_overrides]).cfg
    data = build_data(cfg)
    data.prepare_data()
    data.setup("fit")
    learn_from(cfg, data)
    return data


def test_labels_become_partly_what_the_teacher_says(tiny_overrides):
    net = mc.load("gap")
    state = torch.random.get_rng_state()
    data = taught(tiny_overrides, "teacher=gap", "teacher_share=0.3", "teacher_temperature=4")
    assert torch.equal(state, torch.random.get_rng_state())
    train_images = data.splits["train"]
    with torch.inference_mode():
        said = (net(train_images.images.float() / 255) / 4).softmax(1)
    wanted = 0.7 * F.one_hot(train_images.labels, 10) + 0.3 * said
    torch.testing.assert_close(train_images.targets, wanted)
    images, targets = train_images.__getitems__([3, 1])
    torch.testing.assert_close(targets, wanted[[3, 1]])
    assert torch.equal(images, train_images.images[[3, 1]])
    [(_, first), *_] = ResidentLoader(train_images, data.train_dataloader().sampler, 2)
    assert first.shape == (2, 10)
    assert torch.equal(data.splits["val"].targets, data.splits["val"].labels)
    for part in (train_images.first(2), train_images.chosen(torch.tensor([0, 1]))):
        assert torch.equal(part.targets, train_images.targets[:2])  # a part, as CUDA graphs take it
    two = taught(tiny_overrides, "teacher=[gap,gap]", "teacher_share=0.3", "teacher_temperature=4")
    torch.testing.assert_close(two.splits["train"].targets, wanted)


def test_a_run_says_who_taught_it(cli, tiny_overrides, tmp_path, capsys):
    call = ["model=sequential", "teacher=gap", "trainer.max_epochs=1", "data.validation_size=10",
            f"hydra.run.dir={tmp_path}/run", *tiny_overrides]  # fmt: skip
    assert cli(*call, main=train.main) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "teacher: gap; right on" in told
    assert "teacher: gap may have trained on images that validate or are tested here" in told
    run = Run(tmp_path / "run")
    assert run.config().teacher == "gap"
    assert metrics_of(run)["figures"]["train/loss"] > 0


@pytest.mark.parametrize(
    ("donor", "students"),
    [
        # where nothing validates, the test images are the same
        ([], {"": False, "data.validation_size=0": False, "data.validate_on=test": False}),
        (["data.test_share=0"], {"": True, "data.validation_size=0": True}),
        (["data.split_seed=5"], {"": True, "data.validation_size=0": True, "data.validate_on=test": True}),
    ],
)
def test_a_teacher_that_saw_what_validates_or_is_tested_is_told(cli, tmp_path, capsys, donor, students):
    write_folders(tmp_path / "pets", 200, (28, 28))
    call = ["model=gap", "model.stages=[[2]]", "trainer=cpu", "data=folder", "data.root=pets", "debug=one_batch",
            "figures=false"]  # fmt: skip
    assert cli(*call, *donor, "hydra.run.dir=donor") == 0
    for i, (student, warned) in enumerate(students.items()):
        capsys.readouterr()
        assert cli(*call, *student.split(), "teacher=donor", f"hydra.run.dir=student_{i}") == 0
        assert ("may have trained on images that" in " ".join(capsys.readouterr().out.split())) == warned, student


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["teacher=runs/nowhere"], "teacher = 'runs/nowhere': no such run directory or checkpoint"),
        (["teacher=gap", "model.loss={_target_: torch.nn.MultiMarginLoss}"], "its answers are probabilities"),
        (["teacher=gapp"], "did you mean 'gap'?"),
        (["teacher=gap", "teacher_share=1.5"], "teacher_share = 1.5"),
        (["teacher=gap", "augment=any", "augment._target_=torchvision.transforms.v2.MixUp"], "that mixes images"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(cli, tiny_overrides, capsys, overrides, words):
    assert cli("model=sequential", *overrides, *tiny_overrides, main=train.main) == 2
    assert words in capsys.readouterr().err
