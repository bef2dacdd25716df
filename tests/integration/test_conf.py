"""Every file under conf/ composes and is valid, and the facts of the published recipes hold."""

import itertools

import pytest

from mnist_cnn import validate
from mnist_cnn.config.call import Call
from mnist_cnn.config.checks import LOGGER_PACKAGES
from mnist_cnn.config.compose import config_dir
from mnist_cnn.reproduce.study import documents

CONF = config_dir()
FOLDERS = {f.parent.relative_to(CONF).parts[0] for f in CONF.rglob("*.yaml") if f.parent != CONF}
PLANNED = {f"experiment={entry.experiment}" for document in documents() for entry in document.entries}
GROUPS = sorted(FOLDERS - {"hydra", "space"})  # space belongs to the search: test_search.py
TOGETHER = ("optimizer", "scheduler", "augment", "metrics", "speed", "trainer")
NEEDS = {
    "trainer=gpu": "no usable CUDA GPU",
    "data=common": "data: must be a mapping with a _target_; choose one of arrays, ",  # what the others have in common
    "data=own": "data._target_",
    "callbacks=lr_monitor": "needs a logger",
    "callbacks=early_stopping": "callbacks.checkpoint",
    "callbacks=ema": "callbacks.checkpoint",
    "model=net": "name the net",
    "callbacks=swa": "callbacks.checkpoint",
    "optimizer=any": "optimizer._target_",
    "scheduler=any": "scheduler._target_",
    "augment=any": "augment._target_",
}


def options() -> list[str]:
    """All but the experiments of the documents: tests/unit/test_study.py composes and validates those, to plan them."""
    found = [
        f"{group}={file.relative_to(CONF / group).with_suffix('')}"
        for group in GROUPS
        for file in sorted((CONF / group).rglob("*.yaml"))
    ]
    return [option for option in found if option not in PLANNED]


def calls() -> list[list[str]]:
    """Each option alone, but those of groups that go with one another side by side."""
    rest = [option for option in options() if option in NEEDS or option.partition("=")[0] not in TOGETHER]
    groups = [[o for o in options() if o.partition("=")[0] == group and o not in NEEDS] for group in TOGETHER]
    rows = itertools.zip_longest(*groups)
    return [*([option] for option in rest), *([option for option in row if option] for row in rows)]


@pytest.mark.parametrize("chosen", calls(), ids=" ".join)
def test_every_file_composes_and_is_valid(cli, capsys, chosen):
    code = cli(*chosen, "rehearse=false", main=validate.main)
    message = capsys.readouterr().err
    if code == 0:
        return
    [option] = chosen
    group, _, name = option.partition("=")
    allowed = NEEDS.get(option, "")
    if group == "logger" and name in {package.lower() for package in LOGGER_PACKAGES.values()}:
        allowed = f'pip install "mnist-cnn[{name}]"'
    assert allowed
    assert allowed in message


@pytest.mark.parametrize("callback", ["early_stopping", "ema", "swa"])
def test_every_callback_goes_with_the_checkpoint(cli, callback):
    assert cli(f"callbacks=[checkpoint,{callback}]", "rehearse=false", main=validate.main) == 0


def composed(*overrides: str):
    return Call(overrides).check()[0].cfg


def test_bn_dropout_alone_is_the_published_recipe():
    cfg = composed("model=bn_dropout")
    assert (cfg.optimizer._target_, cfg.optimizer.lr) == ("torch.optim.Adam", 0.003)
    assert (cfg.scheduler._target_.rpartition(".")[2], cfg.scheduler.decay) == ("inverse_time", 0.319)
    assert (cfg.data.batch_size, cfg.trainer.max_epochs, cfg.data.validate_on) == (128, 20, "holdout")


def test_vanilla_alone_is_the_published_recipe():
    cfg = composed("model=vanilla")
    assert (cfg.optimizer._target_, cfg.optimizer.lr, cfg.optimizer.momentum) == ("torch.optim.SGD", 0.01, 0.0)
    assert not cfg.scheduler
    assert (cfg.data.batch_size, cfg.trainer.max_epochs) == (64, 20)
    assert composed("model=vanilla_49k").model.stage2 == [16, 32, 32, 64]


def test_another_optimizer_keeps_its_own_learning_rate_and_the_command_line_wins():
    assert composed("model=bn_dropout", "optimizer=sgd").optimizer.lr == 0.01
    assert composed("model=bn_dropout", "optimizer=sgd", "optimizer.lr=0.5").optimizer.lr == 0.5
    assert composed("model=bn_dropout", "data.batch_size=32", "trainer.max_epochs=3").data.batch_size == 32


def test_an_experiment_watches_the_test_images_as_its_document_did():
    cfg = composed("experiment=under_15k/bn_dropout_14k")
    assert (cfg.data.validate_on, cfg.test_weights, cfg.optimizer.eps) == ("test", "last", 1e-7)
    assert cfg.model._target_.endswith("BNDropoutCNN")


def test_gap_stays_below_8000_trainable_parameters():
    from mnist_cnn.config.build import build
    from mnist_cnn.report.tables import count

    assert count(build(composed("model=gap").model, "model").layer_rows)[1] <= 8_000
