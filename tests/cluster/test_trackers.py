"""MLflow with a real server, W&B offline and TensorBoard, read back by their own readers, runs and servers lost."""

import importlib.metadata
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import start
from tracked import expected, told_tensorboard
from trackers import Server, missing_mlflow, missing_wandb, told_mlflow, told_wandb
from waiting import wait

from mnist_cnn.runs.directory import Run

pytestmark = pytest.mark.cluster
pytest_plugins = ["cluster_fixtures"]
BATCHES, EPOCHS = 8, 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if reason := missing_mlflow():
        pytest.skip(reason)
    server = Server(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def words(tmp_path: Path, tiny_overrides: list[str]) -> list[str]:
    shutil.copy(Path(__file__).parent / "gates.py", tmp_path)
    return ["model=vanilla", f"trainer.max_epochs={EPOCHS}", "seed=7", *tiny_overrides, "figures=true"]


def lost_and_resumed(words: list[str], folder: Path) -> Run:
    """A run whose process is killed when all of its third epoch is done but the saving."""
    lost = ["++callbacks.lost._target_=gates.Lost", "++callbacks.lost.epoch=2", f"hydra.run.dir={folder}"]
    first = start([*words, *lost], folder.parent)
    assert first.wait(200) == -signal.SIGKILL, first.output()
    resumed = start([f"resume={folder}"], folder.parent)
    assert resumed.wait(200) == 0, resumed.output()
    return Run(folder)


def said(tracker: str, run: Run) -> str:
    curves = expected(run, BATCHES)
    return (
        f"- {tracker} {importlib.metadata.version(tracker)}: killed by SIGKILL in epoch 3 of {EPOCHS} and resumed; "
        f"{len(curves)} curves with {sum(map(len, curves.values()))} points, none twice or missing, "
        f"{len(list(run.path.glob('*.png')))} pictures, learning rate and seed: as in the files of the run"
    )


def test_tensorboard_is_told_of_a_lost_and_resumed_run_as_of_one(words, tmp_path, log):
    run = lost_and_resumed([*words, "logger=tensorboard"], tmp_path / "one")
    told_tensorboard(run.path / "tensorboard").assert_is_that_of(run, BATCHES)
    log(said("tensorboard", run))


def test_mlflow_is_told_of_a_lost_and_resumed_run_as_of_one(server, words, tmp_path, log):
    run = lost_and_resumed([*words, "logger=mlflow", f"logger.mlflow.tracking_uri={server.url}"], tmp_path / "two")
    told, there = told_mlflow(server.url, "two")
    told.assert_is_that_of(run, BATCHES)
    assert there.info.status == "FINISHED"
    log(said("mlflow", run))


def test_wandb_offline_is_told_of_a_lost_and_resumed_run_as_of_one(words, tmp_path, log):
    if reason := missing_wandb():
        pytest.skip(reason)
    run = lost_and_resumed([*words, "logger=wandb"], tmp_path / "three")
    told, names = told_wandb(run.path / "wandb")
    told.assert_is_that_of(run, BATCHES)
    assert len(names) == 1
    log(said("wandb", run))


def test_two_runs_of_one_process_are_two_for_wandb(words, tmp_path):
    if reason := missing_wandb():
        pytest.skip(reason)
    fit = f"import mnist_cnn as mc\nfor name in 'ab': mc.fit(*{[*words, 'logger=wandb']}, 'hydra.run.dir=' + name)"
    subprocess.run([sys.executable, "-c", fit], cwd=tmp_path, check=True, timeout=300, capture_output=True)
    known = set()
    for name in "ab":
        told, names = told_wandb(tmp_path / name / "wandb")
        told.assert_is_that_of(Run(tmp_path / name), BATCHES)
        known |= names
    assert len(known) == 2


def test_a_server_that_goes_away_costs_a_warning_and_is_told_again_when_it_is_back(server, words, tmp_path, log):
    gate = ["++callbacks.gate._target_=gates.Gate", "++callbacks.gate.epoch=2", f"hydra.run.dir={tmp_path}/away"]
    process = start([*words, *gate, "logger=mlflow", f"logger.mlflow.tracking_uri={server.url}"], tmp_path)
    run = Run(tmp_path / "away")
    wait(lambda: len(run.history()) == 2, "two epochs")
    wait(lambda: len(told_mlflow(server.url, "away")[0].curves["val/acc"]) == 2, "MLflow to be told of them")
    server.kill()
    (tmp_path / "go").touch()
    began = time.monotonic()
    output = process.output(300)
    took = time.monotonic() - began
    assert process.returncode == 0, output
    assert len(run.history()) == EPOCHS
    [warning] = [line for line in output.splitlines() if "warning" in line.lower() or "mlflow" in line.lower()]
    assert "warning: logger.mlflow: " in warning
    assert "metrics.csv has all figures" in warning

    resume = [f"resume={run.path}"]
    longer = start([*resume, "trainer.max_epochs=5"], tmp_path)  # the server is still away
    assert longer.wait(300) == 0, longer.output()
    assert longer.output().count("warning: logger.mlflow: ") == 1
    server.start()
    assert start([*resume, "trainer.max_epochs=6"], tmp_path).wait(300) == 0
    told, there = told_mlflow(server.url, "away")
    [*_, last] = expected(run, BATCHES)["val/acc"]
    assert [step for step, _ in told.curves["val/acc"]] == [BATCHES * epoch - 1 for epoch in (1, 2, 6)]
    assert told.curves["val/acc"][-1] == pytest.approx(last)
    assert there.data.tags["resumed/trainer.max_epochs"] == "6"
    assert there.data.params["trainer.max_epochs"] == str(EPOCHS)
    log(
        f"- mlflow, its server killed after epoch 2 of {EPOCHS}: one warning, the run complete {took:.0f} s later; "
        "resumed without the server: one warning; resumed with it: the same run of MLflow goes on"
    )


def test_a_server_that_does_not_answer_a_new_run_is_refused_in_a_line(words, tmp_path):
    if reason := missing_mlflow():
        pytest.skip(reason)
    process = start([*words, "logger=mlflow", "logger.mlflow.tracking_uri=http://127.0.0.1:9"], tmp_path)
    output = process.output(200)
    assert process.returncode == 2, output
    [line] = output.strip().splitlines()
    assert line.startswith("error: logger.mlflow: ")
    assert not (tmp_path / "runs").exists()
