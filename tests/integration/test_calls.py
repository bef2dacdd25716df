"""What a call starts: where its run goes, what the record says of it, and calls that are refused or go on."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import metrics_of, write_images
from filelock import FileLock
from PIL import Image

import mnist_cnn as mc
import mnist_cnn.predict.__main__ as predict
import mnist_cnn.sweep.__main__ as sweep_entry
from mnist_cnn import evaluate, train, validate
from mnist_cnn.data import datamodule
from mnist_cnn.errors import ConfigError
from mnist_cnn.files import LOCK
from mnist_cnn.runs.directory import Run
from mnist_cnn.sweep.plan import Sweep

SHORT = ["model=sequential", "trainer.max_epochs=1", "data.limit_train=64"]


def own_folder(tmp_path: Path, name: str, text: str) -> list[str]:
    (tmp_path / "mine" / "experiment").mkdir(parents=True, exist_ok=True)
    (tmp_path / "mine" / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
    return ["--config-dir", "mine", f"experiment={name}"]


def test_the_record_has_the_whole_command_and_the_run_goes_where_hydra_says(cli, tiny_overrides, tmp_path):
    """In a file or in the call, with Hydra's interpolations; the command makes the same figures again."""
    mine = own_folder(tmp_path, "here", "hydra: {run: {dir: 'as_${seed}'}}\noptimizer: {lr: 0.02}\n")
    assert cli(*mine, *SHORT, *tiny_overrides, "seed=4") == 0
    run = Run(tmp_path / "as_4")
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "as_4"}
    assert cli("resume=as_4", "trainer.max_epochs=2") == 0
    command = metrics_of(run)["command"]
    assert command[:3] == ["python", "-m", "mnist_cnn.train"]
    assert "trainer.max_epochs=2" in command
    assert "trainer.max_epochs=1" not in command
    assert cli(*command[3:], "hydra.run.dir='again/${model._target_}'") == 0
    [again] = tmp_path.glob("again/*/metrics.json")
    assert metrics_of(Run(again.parent))["figures"] == metrics_of(run)["figures"]
    assert cli("-m", *mine, *SHORT, *tiny_overrides, "debug=one_batch", "seed=1,2", "hydra.sweep.dir='of_${jobs}'") == 0
    assert (tmp_path / "of_auto" / "sweep.yaml").is_file()


def test_a_run_that_is_being_trained_is_said_to_be(cli, capsys, tiny_overrides, tmp_path):
    run = Run(tmp_path / "run")
    run.path.mkdir()
    run.config_file.write_text("seed: 1\n")
    with FileLock(run.path / LOCK):
        assert cli(*SHORT, *tiny_overrides, "hydra.run.dir=run") == 2
    assert "another process is training" in capsys.readouterr().err
    assert cli(*SHORT, *tiny_overrides, "hydra.run.dir=run") == 2
    assert f"{run.config_file}: model: missing, or not a group" in capsys.readouterr().err


REFUSED = {
    "a directory that does not resolve": (validate.main, ["hydra.run.dir=${nothing}"], "nothing"),
    "a sweep over two devices": (
        validate.main, ["-m", "trainer.accelerator=cpu", "trainer.devices=2", "seed=1"], "several devices"
    ),
    "a sweep without its switch": (validate.main, ["seed=1,2"], "several values make a sweep"),
    "evaluation of several": (evaluate.main, ["-m", "run_dir=a,b"], "unrecognized arguments: -m"),
    "evaluation with a folder": (evaluate.main, ["--config-dir", "a", "run_dir=b"], "--config-dir"),
    "evaluation of a checkpoint that is not there": (evaluate.main, ["checkpoint=a.ckpt"], "a.ckpt: no such"),
    "summing up an option": (sweep_entry.main, ["lr=0.1/x"], "lr: unknown option"),
    "summing up a folder with a sign": (sweep_entry.main, ["lr=0.1/there"], "not a sweep directory"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_is_refused_in_a_line(cli, capsys, tmp_path, name):
    (tmp_path / "lr=0.1" / "there").mkdir(parents=True)
    main, arguments, said = REFUSED[name]
    assert cli(*arguments, main=main) == 2
    message = capsys.readouterr().err
    assert said in message
    assert len(message.splitlines()) <= 2


@pytest.mark.parametrize("setting", ["trainer=ddp", "trainer.devices=2"])
def test_fit_stays_in_one_process(tiny_overrides, tmp_path, monkeypatch, setting):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"python -m mnist_cnn\.train"):
        mc.fit(*SHORT, *tiny_overrides, setting)
    assert list(tmp_path.iterdir()) == []


def test_a_lone_checkpoint_is_evaluated_with_its_data_or_those_of_conf(
    cli, capsys, tiny, tiny_overrides, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = mc.fit("model=gap", "trainer.max_epochs=1", *tiny_overrides, "data.divide_by=128")
    result.run.checkpoint("best").rename("lone.ckpt")
    state = torch.load("lone.ckpt", weights_only=True)
    torch.save({"epoch": 0, "state_dict": state["state_dict"]}, "old.ckpt")
    del state["mnist_cnn"]["settings"]
    torch.save(state, "mute.ckpt")
    write_images(tmp_path / "MNIST" / "raw")
    monkeypatch.setattr(datamodule, "prepare", lambda *_: None)  # these are not MNIST
    for file, root in (("lone", tiny), ("mute", tmp_path)):
        assert cli(f"checkpoint={file}.ckpt", f"data_root={root}", "accelerator=cpu", main=evaluate.main) == 0
        printed = capsys.readouterr().out
        assert f"test accuracy {result.figures['test/acc']:.2%}, loss {result.figures['test/loss']:.4f}, 100" in printed
        assert "protocol of the run: not known" in printed
        assert ("does not say which images it was trained on; here: MNIST" in printed) == (file == "mute")
    assert cli("checkpoint=old.ckpt", main=evaluate.main) == 2
    assert "old.ckpt: of version 0.1.0, so it needs the run directory" in capsys.readouterr().err
    state["mnist_cnn"]["model"]["stages"] = [[2]]
    torch.save(state, result.run.checkpoint("last"))
    assert cli(f"run_dir={result.run.path}", "weights=last", main=evaluate.main) == 2
    error = capsys.readouterr().err
    assert f"{result.run.path}/checkpoints/last.ckpt: holds another net than" in error
    assert "model.stages = [[2]], not [[" in error
    assert len(error.splitlines()) == 1


@pytest.mark.slow
def test_classes_beside_the_files_of_ones_own_are_found_again(cli, tiny_overrides, tmp_path, monkeypatch):
    """By what continues and by what measures, which are not told of --config-dir; in processes that know no more."""
    mine = own_folder(tmp_path, "own", "model: {_target_: beside.Net}\n")
    (tmp_path / "mine" / "beside.py").write_text("from my_nets import Res\n\n\nclass Net(Res):\n    pass\n")
    shutil.copy(Path(__file__).parents[1] / "my_nets.py", tmp_path / "mine")
    monkeypatch.setattr(sys, "path", list(sys.path))
    call = [
        "-m",
        *mine,
        "model=net",
        "model.width=2",
        "scheduler=constant",
        *tiny_overrides,
        "debug=one_batch",
        "seed=1,2",
    ]
    assert cli(*call, "hydra.sweep.dir=sweep") == 0
    Image.fromarray(np.full((30, 30), 255, np.uint8)).save("three.png")
    shutil.rmtree(tmp_path / "sweep" / "1")
    (tmp_path / "sweep" / "1.log").unlink()
    for call, main in [
        (["-m", "resume=sweep"], train.main),
        (["resume=sweep/0", "trainer.max_epochs=2"], train.main),
        (["run_dir=sweep/1", "accelerator=cpu"], evaluate.main),
        (["checkpoint=sweep/1/checkpoints/last.ckpt", "three.png"], predict.main),
    ]:
        for name in ("beside", "my_nets"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.startswith(str(tmp_path))])
        assert cli(*call, main=main) == 0


@pytest.mark.slow
def test_a_job_that_no_longer_composes_fails_alone(cli, capsys, tiny_overrides, tmp_path):
    """The first one of three, while the others run."""
    mine = own_folder(tmp_path, "a", "seed: 5\n")[:2]
    own_folder(tmp_path, "b", "seed: 6\n")
    call = ["-m", *mine, "experiment=a,b", *SHORT, *tiny_overrides, "debug=one_batch", "jobs=1"]
    assert cli(*call, "hydra.sweep.dir=sweep") == 0
    for number in (0, 1):
        Run(tmp_path / "sweep" / str(number)).path.rename(tmp_path / f"away{number}")
        (tmp_path / "sweep" / f"{number}.log").unlink()
    (tmp_path / "mine" / "experiment" / "a.yaml").unlink()
    assert cli("-m", "resume=sweep", "jobs=many") == 2
    assert "jobs = 'many'" in capsys.readouterr().err
    assert cli("-m", "resume=sweep") == 1
    assert "job 0 failed: " in capsys.readouterr().out
    sweep = Sweep.load(tmp_path / "sweep")
    assert [sweep.progress(job).state for job in sweep.jobs] == ["failed", "completed"]
    (tmp_path / "mine" / "experiment" / "a.yaml").write_text("# @package _global_\nseed: 5\n")
    assert cli("-m", "resume=sweep") == 0
    assert yaml.safe_load((tmp_path / "sweep" / "0" / "config.yaml").read_text())["seed"] == 5
