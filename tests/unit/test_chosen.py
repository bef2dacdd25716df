"""Composing by what is kept of the chosen files is composing by Hydra."""

import os
import shutil

import pytest
from hydra import compose
from omegaconf import OmegaConf

from mnist_cnn.config import chosen, place
from mnist_cnn.config import compose as ours

CALLS = [
    ["model=gap", "++trainer.max_epochs=1", "++seed=3"],
    ["model=gap", "++data.root=/a", "data=custom", "++data.batch_size=[1, 2]", "++data.batch_size=8", "seed=4"],
    ["model=gap", "optimizer=sgd", "++trainer.more={a: {b: 1}}", "hydra.run.dir='as_${seed}/${hydra.job.config_name}'"],
    ["model=gap", "hydra.run.dir='${hydra.job.override_dirname}'", "++seed=5"],
    ["experiment=five_models/model_3", "~optimizer.betas", "+trainer.more=1", "++optimizer.betas=[0, 0.5]"],
    ["callbacks=[checkpoint,ema]", "hydra/launcher=basic", "++seed=6"],
]


@pytest.mark.parametrize("call", CALLS)
def test_it_is_what_hydra_composes(call):
    with ours.hydra_in_conf():
        expected = compose("train", call, return_hydra_config=True)
        for _ in range(2):  # made, and kept
            found = chosen.compose_chosen("train", call)
            assert (found.hydra.run.dir, found.hydra.sweep.dir) == (expected.hydra.run.dir, expected.hydra.sweep.dir)
            trees = [OmegaConf.to_container(cfg) for cfg in (expected, found)]
            for tree in trees:
                del tree["hydra"]["job"]["override_dirname"]
            assert trees[0] == trees[1]
            found.seed = "of this call alone"


def test_a_file_that_changes_is_read_again(tmp_path, monkeypatch):
    shutil.copytree(place.config_dir(), tmp_path / "conf")
    monkeypatch.setattr(place, "PACKAGE", tmp_path)
    assert ours.compose_run(["optimizer=sgd"]).cfg.optimizer.lr == 0.01
    file = tmp_path / "conf" / "optimizer" / "sgd.yaml"
    file.write_text(file.read_text().replace("sgd,0.01", "sgd,0.75"))
    os.utime(file, ns=(0, 0))
    assert ours.compose_run(["optimizer=sgd"]).cfg.optimizer.lr == 0.75
