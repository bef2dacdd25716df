"""What makes two runs the same settings."""

import functools

import pytest
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config.compose import compose_run
from mnist_cnn.runs.settings import ADDED_LATER, settings_digest


@functools.cache
def composed(*overrides: str) -> DictConfig:
    return compose_run(["model=gap", *overrides]).cfg


@pytest.mark.parametrize(
    "override",
    [
        "seed=7", "data.root=/elsewhere", "run_root=elsewhere", "logger=tensorboard", "speed=plain",
        "++trainer.log_every_n_steps=7", "data.eval_batch_size=77", "figures=false", "data.num_workers=1",
        "trainer=cpu", "jobs=3",
    ],
)  # fmt: skip
def test_what_has_no_part_in_the_training_makes_no_difference(override):
    assert composed(override) != composed()
    assert settings_digest(composed(override)) == settings_digest(composed())


def test_folds_repeat_one_setting():
    assert settings_digest(composed("data.fold=1")) == settings_digest(composed("data.fold=2"))


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.lr=0.5", "data.batch_size=7", "trainer.max_epochs=7", "model.stages=[[4],[4],[4]]", "model=vanilla",
        "augment=none", "data.validate_on=test", "data.split_seed=7", "test_weights=best", "scheduler=constant",
        "++trainer.gradient_clip_val=1", "callbacks=[checkpoint,ema]",
    ],
)  # fmt: skip
def test_what_changes_the_training_makes_a_difference(override):
    assert settings_digest(composed(override)) != settings_digest(composed())


def test_where_a_class_of_the_package_lies_makes_no_difference_but_another_class_does():
    cfg = composed().copy()
    name = cfg.model._target_.rpartition(".")[2]
    cfg.model._target_ = f"mnist_cnn.somewhere.else_.{name}"
    assert settings_digest(cfg) == settings_digest(composed())
    cfg.model._target_ = "mnist_cnn.somewhere.else_.Other"
    assert settings_digest(cfg) != settings_digest(composed())
    cfg = composed().copy()
    cfg.optimizer._target_ = "torch.elsewhere.Adam"  # of other packages the whole name counts
    assert settings_digest(cfg) != settings_digest(composed())


def test_a_setting_that_was_added_later_counts_only_when_it_is_not_at_its_default(monkeypatch):
    before = composed()
    same = settings_digest(before)
    later = {"data.part": None, "data.parts": 5, "model.width": 1.0}
    monkeypatch.setattr("mnist_cnn.runs.settings.ADDED_LATER", ADDED_LATER | later)

    def digest(**values: object) -> str:
        cfg = OmegaConf.create(OmegaConf.to_container(before))
        for key, value in values.items():
            OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True)
        return settings_digest(cfg)

    assert digest() == same
    assert digest(data__part=None, data__parts=5, model__width=1.0) == same
    changed = [digest(data__part=0), digest(data__parts=6), digest(model__width=2.0)]
    assert len({same, *changed}) == 4
    cfg = OmegaConf.create(OmegaConf.to_container(before))
    OmegaConf.update(cfg, "data.parts", 5, force_add=True)
    monkeypatch.setattr("mnist_cnn.runs.settings.ADDED_LATER", ADDED_LATER)
    assert settings_digest(cfg) != same
