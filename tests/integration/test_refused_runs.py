"""Runs that are not overwritten, and resumes and evaluations that cannot be: one message, and the run as it was."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import metrics_of

import mnist_cnn.export.__main__ as export
import mnist_cnn.inspect.__main__ as inspect
from mnist_cnn import evaluate
from mnist_cnn.runs.directory import Run


def test_a_directory_that_holds_a_run_is_not_overwritten(cli, capsys, finished, tiny_overrides):
    before = finished.checkpoint("last").read_bytes(), metrics_of(finished)
    assert cli("model=gap", *tiny_overrides, f"hydra.run.dir={finished.path}") == 2
    assert f"resume={finished.path}" in capsys.readouterr().err
    assert (finished.checkpoint("last").read_bytes(), metrics_of(finished)) == before


BAD_RESUMES = {
    "a run as a sweep": (["-m", "resume={run}", "seed=1,2"], ["a single run; continue it without -m"]),
    "on a cluster": (["-m", "resume={run}", "hydra/launcher=submitit_local"], ["hydra/launcher"]),
    "nothing there": (["resume=auto"], ["nothing to resume"]),
    "no such file": (["resume=nowhere.ckpt"], ["no such checkpoint"]),
    "not a run": (["resume={empty}"], ["not a run directory"]),
    "finished": (["resume={run}"], ["already finished", "trainer.max_epochs"]),
    "group changed": (["resume={run}", "optimizer=sgd", "trainer.max_epochs=2"], ["optimizer=sgd"]),
    "another net": (
        ["resume={run}", "model.stages=[[4]]", "trainer.max_epochs=2"],
        ["model.stages", "can change only"],
    ),
    "another rate": (["resume={run}", "optimizer.lr=0.1"], ["optimizer.lr", "can change only"]),
    "another protocol": (["resume={run}", "data.validate_on=test"], ["data.validate_on", "can change only"]),
    "typo": (["resume={run}", "trainer.max_epoch=2"], ["trainer.max_epoch", "trainer.max_epochs"]),
    "stretched schedule": (["resume={run}", "trainer.max_epochs=2"], ["spans 1 epochs"]),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny) -> Run:
    """A complete one-epoch run of gap, whose schedule spans the run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", [
            "train", "model=gap", "data=custom", f"data.root={tiny}", "data.validation_size=80", "data.limit_train=64",
            "trainer=cpu", "trainer.max_epochs=1", "figures=false", f"hydra.run.dir={folder}/run",
        ])  # fmt: skip
        from mnist_cnn import train

        train.main()
    return Run(folder / "run")


@pytest.mark.parametrize("name", BAD_RESUMES)
def test_a_resume_that_cannot_be_is_refused(cli, capsys, finished, tmp_path, name):
    (tmp_path / "empty").mkdir()
    arguments, said = BAD_RESUMES[name]
    filled = [a.format(run=finished.path, empty=tmp_path / "empty") for a in arguments]
    before = metrics_of(finished)
    assert cli(*filled) == 2
    message = capsys.readouterr().err
    for words in said:
        assert words in message
    assert metrics_of(finished) == before


class Payload:
    """Runs code when unpickled, as a hostile checkpoint would."""

    def __reduce__(self):
        return (Path("executed").touch, ())


BAD_EVALUATIONS = {
    "neither": ([], ["run_dir", "checkpoint"]),
    "not a run": (["run_dir=nowhere"], ["not a run directory"]),
    "unknown weights": (["run_dir={run}", "weights=frist"], ["'frist'"]),
    "typo": (["run_dri={run}"], ["run_dri"]),
    "no data": (["run_dir={run}", "data_root=elsewhere"], ["data_root=elsewhere: no such folder, seen from /"]),
    "carries code": (["checkpoint={code}"], ["refused", "code"]),
    "cut short": (["checkpoint={cut}"], ["damaged"]),
    "text": (["checkpoint={text}"], ["damaged"]),
}


@pytest.mark.parametrize("name", BAD_EVALUATIONS)
def test_an_evaluation_that_cannot_be_is_refused(cli, capsys, finished, tmp_path, name):
    copy = tmp_path / "copy" / "checkpoints"
    copy.mkdir(parents=True)
    (copy.parent / "config.yaml").write_bytes(finished.config_file.read_bytes())
    good = finished.checkpoint("last").read_bytes()
    torch.save({"state_dict": Payload()}, copy / "code.ckpt")
    (copy / "cut.ckpt").write_bytes(good[: len(good) // 2])
    (copy / "text.ckpt").write_text("hello")
    names = {n: copy / f"{n}.ckpt" for n in ("code", "cut", "text")} | {"run": finished.path}
    arguments, said = BAD_EVALUATIONS[name]
    assert cli(*[a.format(**names) for a in arguments], main=evaluate.main) == 2
    message = capsys.readouterr().err
    for words in said:
        assert words in message
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("program", "more"), [(evaluate, []), (inspect, []), (export, ["format=torch"])])
def test_a_run_that_lost_its_configuration_is_no_lone_checkpoint(cli, capsys, finished, tmp_path, program, more):
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    (copy / "config.yaml").unlink()
    assert cli(f"run_dir={copy}", *more, main=program.main) == 2
    assert "not a run directory (no config.yaml)" in capsys.readouterr().err
