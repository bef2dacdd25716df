"""How long it will take, and what a sweep's table says meanwhile; from files and a stopped clock, without training."""

import io
import logging
import types

import pytest
from rich.console import Console

from mnist_cnn.config.compose import compose_run
from mnist_cnn.report import forecast
from mnist_cnn.report.forecast import Forecast, earlier_epoch
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.environment import cpu_name
from mnist_cnn.runs.listing import find_runs, find_siblings
from mnist_cnn.runs.record import Record
from mnist_cnn.sweep.plan import Sweep, SweepJob
from mnist_cnn.sweep.progress import SweepDisplay
from mnist_cnn.sweep.states import RUNNING, WAITING

HARDWARE = {"device": "cpu", "cpu": cpu_name(), "cores": 2, "threads": 2, "platform": "Linux"}
FIGURES = {"best_epoch": 2, "val/acc": 0.9, "val/loss": 0.3, "best/acc": 0.9, "best/loss": 0.3, "test/acc": 0.9,
           "test/loss": 0.3}  # fmt: skip


def write_run(run: Run, overrides: list[str], status: str, epochs: int = 0, **facts) -> None:
    run.path.mkdir(parents=True)
    run.save_config(compose_run(overrides).cfg, overrides)
    lines = [f"{epoch + 1},0.1,0.3,0.9,0.3,0.9,100,2.0,3.0" for epoch in range(epochs)]
    head = "epoch,lr,train/loss,train/acc,val/loss,val/acc,images,train_seconds,seconds"
    run.history_file.write_text("\n".join([head, *lines]))
    Record(version=2, status=status, seed=1, hardware=HARDWARE, **facts).save(run.metrics_file)


def test_an_earlier_run_counts_that_did_the_same_work_here(tmp_path):
    timing = {"fit_seconds": 24.0, "epoch_seconds": 12.0, "images_per_second": 1.0}
    write_run(Run(tmp_path / "gap" / "a"), ["model=gap", "optimizer.lr=0.1"], "completed", timing=timing)
    write_run(Run(tmp_path / "gap" / "b"), ["model=gap"], "failed")
    same = compose_run(["model=gap", "seed=7", "trainer.max_epochs=3"]).cfg
    runs = find_runs(tmp_path)
    assert earlier_epoch(runs, same, threads=2) == 12.0
    assert earlier_epoch(runs, same, threads=1) is None
    assert earlier_epoch(runs, compose_run(["model=gap", "data.batch_size=32"]).cfg, threads=2) is None
    assert earlier_epoch([], same, threads=2) is None


def test_a_run_looks_for_earlier_ones_beside_it_alone_and_no_ruin_among_them_stops_it(tmp_path):
    """One in /tmp looked through all of /tmp, and ended at a link to nowhere."""
    (tmp_path / "deep" / "down").mkdir(parents=True)
    for folder in ("beside", "deep/down/other"):
        write_run(Run(tmp_path / folder), ["model=gap"], "completed")
    (tmp_path / "ruin").mkdir()
    (tmp_path / "ruin" / "config.yaml").symlink_to("nowhere")
    assert [run.path.name for run in find_siblings(tmp_path / "new")] == ["beside"]
    assert {run.path.name for run in find_runs(tmp_path)} == {"beside", "other"}
    [gone] = find_siblings(tmp_path / "new")
    gone.config_file.unlink()
    assert earlier_epoch([gone], compose_run(["model=gap"]).cfg, threads=2) is None


@pytest.mark.parametrize(("known", "said"), [(None, "by the first steps"), (36.0, "as an earlier run like it took")])
def test_a_run_says_how_long_it_will_take_and_its_record_keeps_it(monkeypatch, caplog, known, said):
    caplog.set_level(logging.INFO)
    clock = iter(float(second) for second in range(1, 100))
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: next(clock) * 0.75)  # between steps 5 and 20
    kept: dict[str, float] = {}
    trainer = types.SimpleNamespace(is_global_zero=True, max_epochs=20, current_epoch=0, num_training_batches=720)
    callback = Forecast(types.SimpleNamespace(add=kept.update), known)
    callback.on_train_start(trainer, None)
    for step in range(100):
        callback.on_train_batch_end(trainer, None, None, None, step)
    assert kept == {"expected_epoch_seconds": 36.0}
    assert caplog.messages == [f"about 12 min for 20 epochs, {said}"]


def test_the_table_of_a_sweep_says_what_each_job_does_and_how_long_all_will_take(tmp_path, capsys):
    jobs = [SweepJob(n, ["model=gap", f"seed={n}"], [], epochs=2, seed=n) for n in range(4)]
    sweep = Sweep(tmp_path, ["model=gap", "seed=range(4)"], jobs)
    write_run(sweep.run(jobs[0]), jobs[0].overrides, "running", epochs=2)
    display = SweepDisplay(sweep, at_once=2)
    for job in jobs[:2]:
        display.started(types.SimpleNamespace(about=job))
    sweep.run(jobs[0]).save_record(Record(status="completed", seed=0))  # and its pictures are being drawn
    display.refresh()
    console = Console(width=80, file=io.StringIO())
    console.print(display.table())
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert lines[2][:4] == ["0", "seed=0", "reporting", "2/2"]
    assert lines[3][:4] == ["1", "seed=1", "starting", "0/2"]
    assert lines[4][:4] == ["2", "seed=2", "waiting", "0/2"]
    display.tell()
    display.tell()
    assert capsys.readouterr().out == "about 9 s for 4 runs, 2 at once\n"  # three jobs of two epochs of 3 s


def test_jobs_that_run_in_a_queue_have_not_ended(tmp_path):
    sweep = Sweep(tmp_path, [], [SweepJob(n, [f"seed={n}"], [], epochs=2, seed=n) for n in range(3)])
    sweep.in_queue = {0: RUNNING, 1: WAITING}
    assert SweepDisplay(sweep, at_once=1).settled == set()


def test_before_a_sweep_starts_earlier_runs_tell_of_what_they_are_like(tmp_path, capsys):
    jobs = [SweepJob(n, [f"seed={n}"], [], epochs=3, seed=n) for n in range(4)]
    sweep = Sweep(tmp_path, ["seed=range(4)"], jobs)
    display = SweepDisplay(sweep, at_once=2, expected={0: 20.0, 2: 20.0})
    display.foretell(jobs)
    words = "about 60 s for 2 of 4 runs, by earlier runs like them; of the others nothing is known yet\n"
    assert capsys.readouterr().out == words
    display.tell()  # while the first ones start
    SweepDisplay(sweep, at_once=2).foretell(jobs)
    assert capsys.readouterr().out == ""
    SweepDisplay(sweep, at_once=2, expected=dict.fromkeys(range(4), 20.0)).foretell(jobs)
    assert capsys.readouterr().out == "about 2 min for 4 runs, 2 at once\n"


def test_a_search_names_its_best_trial_so_far(tmp_path, capsys):
    (tmp_path / "sweep.yaml").write_text("arguments: [model=gap]\nspace: {}\n")
    display = SweepDisplay(Sweep.load(tmp_path), at_once=1, planned=3)
    trial = SweepJob(0, ["model=gap", "optimizer.lr=0.01234567"], [], epochs=2, seed=1)
    display.started(types.SimpleNamespace(about=trial))
    protocol = {"dataset": "MNIST", "verified": True, "validate_on": "holdout", "split_seed": 1,
                "test_images_watched": False, "summary": ""}  # fmt: skip
    facts = {"figures": FIGURES, "test_weights": "best", "protocol": protocol}
    write_run(Run(tmp_path / "0"), trial.overrides, "completed", epochs=2, **facts)
    display.ended(trial, None)
    printed = capsys.readouterr().out
    assert printed.startswith("trial 0 (model=gap optimizer.lr=0.01235): completed, validation accuracy 90.00%")
    assert "; 1 of 3 trials ended, about 12 s left; best so far 90.00% (trial 0)" in printed


def test_a_trial_is_told_by_the_figure_that_ranks_it(tmp_path, capsys):
    """Of the last weights, not the best epoch's: it read 12 % for a trial that then was the best with 9 %."""
    (tmp_path / "sweep.yaml").write_text("arguments: [model=gap]\nspace: {}\n")
    display = SweepDisplay(Sweep.load(tmp_path), at_once=1, planned=1)
    trial = SweepJob(0, ["model=gap"], [], epochs=2, seed=1)
    display.started(types.SimpleNamespace(about=trial))
    facts = {"figures": FIGURES | {"val/acc": 0.8}, "test_weights": "last"}
    write_run(Run(tmp_path / "0"), trial.overrides, "completed", epochs=2, **facts)
    display.ended(trial, None)
    printed = capsys.readouterr().out
    assert "completed, validation accuracy 80.00%;" in printed
    assert "best so far 80.00% (trial 0)" in printed
