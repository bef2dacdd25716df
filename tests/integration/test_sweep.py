"""Sweeps with real processes: failures, kills, resuming, the summary."""

import csv
import os
import re
import signal
import statistics
import time
from pathlib import Path

import pytest
import yaml
from conftest import metrics_of
from program import start

import mnist_cnn.sweep.__main__ as sweep_entry
from mnist_cnn.config import compose
from mnist_cnn.config.call import Call
from mnist_cnn.errors import Diverged
from mnist_cnn.runs.directory import Run
from mnist_cnn.sweep import multirun
from mnist_cnn.sweep.plan import Sweep
from mnist_cnn.training.rehearsal import rehearse_late_kinds

FAST = ["model=sequential", "trainer.max_epochs=1"]
FEW = ["data.limit_train=96", "data.limit_val=40", "data.limit_test=40"]  # for jobs of many epochs


def sweep_in(folder: Path) -> Sweep:
    [plan] = folder.rglob("sweep.yaml")
    return Sweep.load(plan.parent)


def states(sweep: Sweep) -> dict[int, str]:
    return {job.number: sweep.progress(job).state for job in sweep.jobs}


def test_every_job_is_in_the_summary_best_first_and_over_seeds(cli, tiny_overrides, tmp_path, capsys):
    assert cli("-m", "model=sequential,vanilla", "seed=1,2", "trainer.max_epochs=2", *tiny_overrides) == 0
    printed = capsys.readouterr().out
    sweep = sweep_in(tmp_path)
    runs = {job.number: metrics_of(Run(sweep.path / str(job.number))) for job in sweep.jobs}
    rows = list(csv.DictReader((sweep.path / "summary.csv").read_text().splitlines()))
    assert len(rows) == 4
    assert {(metrics["model"], metrics["seed"]) for metrics in runs.values()} == {
        (model, seed) for model in ("SequentialCNN", "VanillaCNN") for seed in (1, 2)
    }
    assert all((sweep.path / str(number) / "train.log").read_text() for number in runs)
    found = [float(row["val_acc"]) for row in rows]
    assert found == sorted(found, reverse=True)
    for row in rows:
        metrics = runs[int(row["job"])]
        assert float(row["test_acc"]) == metrics["figures"]["test/acc"]
        assert int(row["parameters"]) == metrics["parameters"]["total"]
        assert (row["seed"], row["state"]) == (str(metrics["seed"]), "completed")
    best = [runs[n]["figures"]["test/acc"] for n in (0, 1)]  # sequential
    mean, sd = 100 * statistics.mean(best), 100 * statistics.stdev(best)
    assert f"{mean:.3f} ± {sd:.3f} %" in printed
    worse = 100 * statistics.mean(runs[n]["figures"]["test/acc"] for n in (2, 3))
    assert f"{worse:.3f} ±" not in printed  # the test figure of what validation did not choose
    assert (sweep.path / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert "| sequential | 2 |" in (sweep.path / "summary.md").read_text()

    assert cli(str(sweep.path), "tests=all", main=sweep_entry.main) == 0
    assert f"{worse:.3f} ±" in capsys.readouterr().out


@pytest.mark.slow
def test_a_value_that_only_some_models_have_can_be_swept_with_them(cli, tiny_overrides, tmp_path):
    swept = ["-m", "model=gap,bn_dropout", "model.bn_momentum=0.05", "debug=one_batch"]
    assert cli(*swept, *tiny_overrides) == 0
    assert len(list(tmp_path.rglob("metrics.json"))) == 2


def test_a_bad_job_is_refused_before_anything_runs(cli, tiny_overrides, tmp_path, capsys):
    assert cli("-m", *FAST, "optimizer.lr=0.001,fast", *tiny_overrides) == 2
    assert "optimizer.lr = 'fast'" in capsys.readouterr().err
    assert not list(tmp_path.rglob("sweep.yaml"))


def wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def test_of_eight_jobs_one_diverges_one_is_refused_one_is_killed(tiny_overrides, tmp_path):
    rates = ",".join([*(f"0.{n:03}" for n in range(1, 7)), "1e30", "fast"])
    call = ["-m", "model=sequential", f"optimizer.lr={rates}", "bad_jobs=skip", "trainer.max_epochs=15",
            "jobs=2", *tiny_overrides, *FEW]  # fmt: skip
    process = start(call, tmp_path)
    wait_for(lambda: len(list(tmp_path.rglob("3/metrics.csv"))) == 1)
    sweep = sweep_in(tmp_path)
    killed = sweep.run(sweep.jobs[3])
    os.kill(metrics_of(killed)["pid"], signal.SIGKILL)
    output = process.output(timeout=300)
    assert process.returncode == 1, output
    expected = dict.fromkeys(range(8), "completed") | {3: "killed", 6: "diverged", 7: "refused"}
    assert states(sweep) == expected
    assert re.search(r"job 3 .*killed by SIGKILL", output)
    assert re.search(r"job 6 diverged: \w+ loss is (nan|inf)", output)
    assert "job 7 refused: optimizer.lr = 'fast'" in output
    assert "optimizer.lr=0.005" in output
    made = {n: Run(sweep.path / str(n)).metrics_file.stat().st_mtime_ns for n in range(7)}
    done = len(killed.history_file.read_text().splitlines()) - 1
    assert 1 <= done < 15

    again = start(["-m", "resume=auto"], tmp_path)
    output = again.output(timeout=300)
    assert again.returncode == 1, output
    assert "8 jobs, 1 to run" in output
    assert states(sweep) == expected | {3: "completed"}
    assert sorted(file.name for file in sweep.path.glob("*.error")) == ["6.error"]
    changed = {n for n in range(7) if Run(sweep.path / str(n)).metrics_file.stat().st_mtime_ns != made[n]}
    assert changed == {3}
    assert f" {done + 1}/15 " in killed.path.joinpath("train.log").read_text()
    rows = list(csv.DictReader((sweep.path / "summary.csv").read_text().splitlines()))
    assert [row["state"] for row in rows].count("completed") == 6

    third = start(["-m", "resume=auto"], tmp_path)
    output = third.output(timeout=60)
    assert third.returncode == 2
    assert "no sweep has jobs left to run" in output


@pytest.mark.slow
def test_kill_9_of_the_whole_sweep_loses_at_most_the_running_epochs(tiny_overrides, tmp_path):
    call = ["-m", "model=sequential", "seed=1,2,3", "trainer.max_epochs=15", "jobs=1", *tiny_overrides, *FEW]
    process = start(call, tmp_path)
    wait_for(lambda: len(list(tmp_path.rglob("1/metrics.csv"))) == 1)
    sweep = sweep_in(tmp_path)
    pid = metrics_of(sweep.run(sweep.jobs[1]))["pid"]
    process.kill()  # the sweep alone: its job must notice
    process.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())  # it stops with its parent
    assert states(sweep)[0] == "completed"
    assert states(sweep)[1] in ("killed", "stopped")
    assert states(sweep)[2] == "waiting"

    output = start([*call, "resume=auto"], tmp_path).output(timeout=300)
    assert "3 jobs, 2 to run" in output
    assert set(states(sweep).values()) == {"completed"}
    alone = ["model=sequential", "seed=2", "trainer.max_epochs=15", *tiny_overrides, *FEW]
    start([*alone, f"hydra.run.dir={tmp_path}/straight"], tmp_path).wait()
    assert metrics_of(Run(tmp_path / "straight"))["figures"] == metrics_of(sweep.run(sweep.jobs[1]))["figures"]


@pytest.mark.slow
def test_a_folder_of_ones_own_and_no_validation_in_the_last_epoch(cli, tiny_overrides, tmp_path):
    mine = tmp_path / "my, 'é' [1]"
    (mine / "model").mkdir(parents=True)
    (mine / "model" / "mine.yaml").write_text("# @package _global_\ndefaults:\n  - sequential\n")
    every = ["trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2", "test_weights=last"]
    assert cli("-m", "--config-dir", mine.name, "model=mine,vanilla", *every, *tiny_overrides) == 0
    assert set(states(sweep_in(tmp_path)).values()) == {"completed"}
    assert "mine" in (sweep_in(tmp_path).path / "summary.md").read_text()


@pytest.mark.slow
def test_a_group_that_lost_a_seed_stands_behind_and_says_so(cli, tiny_overrides, tmp_path, capsys):
    call = ["-m", "bad_jobs=skip", "seed=1,2", "optimizer.lr=0.01,1e-9", "model.init=pytorch", *FAST, *tiny_overrides]
    assert cli(*call) == 0
    sweep = sweep_in(tmp_path)
    lost = next(job for job in sweep.jobs if job.values()["optimizer.lr"] == "0.01")
    run = sweep.run(lost)
    run.metrics_file.write_text(run.metrics_file.read_text().replace('"completed"', '"failed"'))
    capsys.readouterr()
    assert cli(str(sweep.path), main=sweep_entry.main) == 0
    printed = capsys.readouterr().out
    assert "1 of 2" in printed
    groups = [line for line in printed.splitlines() if line.strip().startswith(("0.01 ", "1e-09 "))]
    assert groups[0].strip().startswith("1e-09")


def test_ctrl_c_says_how_to_go_on(tiny_overrides, tmp_path):
    call = ["-m", "model=sequential", "seed=1,2", "trainer.max_epochs=500", "jobs=2", *tiny_overrides]
    process = start(call, tmp_path)
    wait_for(lambda: len(list(tmp_path.rglob("metrics.csv"))) == 2)
    process.send_signal(signal.SIGINT)
    output = process.output(timeout=120)
    assert process.returncode == 130, output
    sweep = sweep_in(tmp_path)
    assert f"-m resume={sweep.path}" in output
    assert set(states(sweep).values()) == {"stopped"}
    assert all("stopped with the call that started it" in sweep.progress(job).error for job in sweep.jobs)
    assert "Traceback" not in output
    with Run(sweep.path).held():
        process = start(["-m", f"resume={sweep.path}"], tmp_path)
        assert f"{sweep.path}: another process is running this sweep" in process.output()


def test_a_run_in_the_place_of_a_job_is_not_taken_for_it(cli, tiny_overrides, tmp_path, capsys):
    assert cli(*FAST, *tiny_overrides, "debug=one_batch", "seed=7", "hydra.run.dir=mine/1") == 0
    call = ["-m", *FAST, *tiny_overrides, "debug=one_batch", "seed=1,2", "hydra.sweep.dir=mine"]
    assert cli(*call) == 2
    assert f"{tmp_path}/mine/1: holds a run, where a job would go" in capsys.readouterr().err
    assert not (tmp_path / "mine" / "sweep.yaml").exists()


@pytest.mark.slow
def test_two_sweeps_at_once_do_not_share_files(tiny_overrides, tmp_path):
    processes = [start(["-m", *FAST, f"seed={seeds}", *tiny_overrides], tmp_path) for seeds in ("1,2", "3,4")]
    for process in processes:
        output = process.output(timeout=120)
        assert process.returncode == 0, output
    plans = [Sweep.load(plan.parent) for plan in tmp_path.rglob("sweep.yaml")]
    assert sorted(job.seed for plan in plans for job in plan.jobs) == [1, 2, 3, 4]
    assert all(set(states(plan).values()) == {"completed"} for plan in plans)


@pytest.mark.slow
def test_run_root_and_bad_jobs_count_in_a_file_too(cli, tiny_overrides, tmp_path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\nrun_root: elsewhere\nbad_jobs: skip\njobs: 1\n")
    call = ["-m", "--config-dir", str(tmp_path / "mine"), "experiment=mine", "optimizer.lr=0.001,fast"]
    assert cli(*call, *tiny_overrides, "debug=one_batch") == 1  # one job is refused
    [plan] = tmp_path.rglob("sweep.yaml")
    assert plan.parent.parent == tmp_path / "elsewhere" / "multirun"
    assert Run(plan.parent / "0").completed
    assert cli("-m", "--config-dir", str(tmp_path / "mine"), "experiment=mine", "resume=auto") == 2  # nothing to run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "resume=auto"], "nothing to resume"),
        (["-m", "resume=nowhere"], "not a sweep directory"),
        (["-m", "resume=auto", "seed=1,2"], "started with seed=1,2"),
    ],
)
def test_nothing_to_resume(cli, capsys, arguments, words):
    assert cli(*arguments) == 2
    assert words in capsys.readouterr().err


def test_auto_finds_a_sweep_wherever_it_lies_below_run_root(cli, tmp_path, capsys):
    job = {"number": 0, "overrides": ["seed=1"], "forced": ["seed=1", "optimizer.lrr=1"], "epochs": 1, "seed": 1}
    for number, folder in enumerate(["runs/multirun/older", "runs/mine/rates"]):
        (tmp_path / folder).mkdir(parents=True)
        plan = tmp_path / folder / "sweep.yaml"
        plan.write_text(yaml.safe_dump({"arguments": [f"seed={number}"], "jobs": [job]}))
        os.utime(plan, (1e9 + number, 1e9 + number))
    (tmp_path / "runs/multirun").rename(tmp_path / "disk")
    (tmp_path / "runs/multirun").symlink_to(tmp_path / "disk")
    assert cli("-m", "resume=auto", "seed=0") == 2
    assert "Could not override 'optimizer.lrr'" in capsys.readouterr().err
    assert cli("-m", "resume=auto", "seed=1") == 2
    assert "Could not override 'optimizer.lrr'" in capsys.readouterr().err  # of its job
    (tmp_path / "runs/mine/config.yaml").touch()  # a run, in which no sweep is looked for
    assert cli("-m", "resume=auto", "seed=1") == 2
    assert f"nothing to resume below {tmp_path}/runs: no sweep that was started with seed=1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_ready_made_sweep_and_a_value_of_ones_own(cli, tiny_overrides, tmp_path):
    assert cli("-m", *FAST, "sweep=lr", "seed=7", "optimizer.lr=0.01,0.02", *tiny_overrides) == 0
    values = [(job.values()["seed"], job.values()["optimizer.lr"]) for job in sweep_in(tmp_path).jobs]
    assert values == [("7", "0.01"), ("7", "0.02")]


def test_the_first_error_of_a_launchers_jobs_ends_the_call_in_one_line(cli, tiny_overrides, capsys, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setattr(compose, "launch", lambda overrides, task: [None, Diverged("loss is nan"), Diverged("too")])
    assert cli("-m", "hydra/launcher=submitit_local", *FAST, "seed=1,2", *tiny_overrides) == 1
    assert capsys.readouterr().err == "error: loss is nan\n"


def test_a_launcher_whose_engine_is_not_there_leaves_nothing(cli, tiny_overrides, capsys, monkeypatch, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli("-m", "hydra/launcher=submitit_slurm", *FAST, "seed=1,2", *tiny_overrides) == 1
    assert capsys.readouterr() == (
        "",
        'error: hydra/launcher: Could not detect "srun", are you indeed on a slurm cluster?\n',
    )
    assert list(tmp_path.iterdir()) == []


def test_what_no_job_shows_at_once_is_rehearsed_before_the_start(cli, own, tiny_overrides, capsys, tmp_path):
    before = sorted(tmp_path.iterdir())
    late = ["++callbacks.mine._target_=pytorch_lightning.callbacks.Timer,my_nets.Clumsy", "seed=1,2"]
    late += ["model=gap", "model.stages=[[2]]", *tiny_overrides]
    assert cli("-m", *late, "jobs=2") == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "error: 2 errors in the configuration:"
    assert [line.partition(" (")[0] for line in errors[1:]] == ["  - job 2", "  - job 3"]
    assert all("callbacks.mine" in line and "at once" in line for line in errors[1:])
    assert [file for file in sorted(tmp_path.iterdir()) if file.name != "__pycache__"] == before
    sweep, _ = multirun.plan_sweep(Call([*late, "bad_jobs=skip", "jobs=2"], True), rehearse_late_kinds)
    assert [job.problem is None for job in sweep.jobs] == [True, True, False, False]
    sweep, _ = multirun.plan_sweep(Call([*late, "rehearse=false", "jobs=2"], True), rehearse_late_kinds)
    assert [job.problem for job in sweep.jobs] == [None] * 4


@pytest.mark.slow
def test_hydras_submitit_launcher_runs_the_jobs_and_the_summary_follows(tiny_overrides, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    process = start(["-m", "hydra/launcher=submitit_local", *FAST, "seed=1,2", *tiny_overrides], tmp_path)
    output = process.output(timeout=200)
    assert process.returncode == 0, output
    assert set(states(sweep_in(tmp_path)).values()) == {"completed"}
    assert "mean ± sd" in output


@pytest.mark.slow
def test_ray_runs_the_jobs_on_this_machine_where_there_is_no_cluster(tiny_overrides, tmp_path):
    pytest.importorskip("ray")
    process = start(["-m", "hydra/launcher=ray", *FAST, "seed=1,2", *tiny_overrides], tmp_path)
    output = process.output(timeout=300)
    assert process.returncode == 0, output
    assert set(states(sweep_in(tmp_path)).values()) == {"completed"}
