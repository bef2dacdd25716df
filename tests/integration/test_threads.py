"""How many threads a run takes, says and keeps."""

import multiprocessing
import time

import pytest
import torch

from mnist_cnn.runs.directory import Run
from mnist_cnn.speed import threads
from mnist_cnn.training import waiting


@pytest.fixture(autouse=True)
def free_of_the_environment(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "cores", lambda: 4)
    monkeypatch.setattr(waiting, "cores", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_cores_that_others_keep_busy_are_left_to_them_and_a_run_keeps_its_number(
    cli, tiny_overrides, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(threads, "_busy", lambda: 1.2)
    folder = f"hydra.run.dir={tmp_path}/run"
    caplog.set_level("INFO")
    assert cli("model=vanilla", "trainer.max_epochs=1", *tiny_overrides, folder) == 0
    assert "others keep cores busy: 3 of 4 threads; threads=3 repeats this run" in caplog.text
    record = Run(tmp_path / "run").record()
    assert record.hardware.threads == 3
    monkeypatch.setattr(threads, "_busy", lambda: 0.1)
    assert cli(f"resume={tmp_path}/run", "trainer.max_epochs=2") == 0
    assert Run(tmp_path / "run").record().hardware.threads == 3
    assert cli(f"resume={tmp_path}/run", "trainer.max_epochs=3", "threads=1") == 0
    assert Run(tmp_path / "run").record().hardware.threads == 1
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("busy", "free"), [(0.0, 4), (0.4, 4), (1.6, 2), (9.0, 1)])
def test_what_others_use_is_not_free(monkeypatch, busy, free):
    monkeypatch.setattr(threads, "_busy", lambda: busy)
    assert threads.free_cores() == free
    assert threads.choose_threads(7, before=2) == 7
    assert threads.choose_threads("auto", before=2) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads.choose_threads("auto", before=None) == 4


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_where_the_system_tells_no_cores_of_a_process_all_are_free(monkeypatch):
    monkeypatch.delattr(threads.os, "sched_getaffinity", raising=False)  # as on macOS
    assert threads.free_cores() == 4


@pytest.mark.skipif(not hasattr(threads.os, "sched_getaffinity"), reason="asks Linux")
def test_another_process_at_work_is_seen():
    other = multiprocessing.get_context("spawn").Process(target=_spin, args=(6,))
    other.start()
    try:
        assert any(threads._busy() > 0.3 for _ in range(40))
    finally:
        other.terminate()
        other.join()


def test_a_run_that_waits_says_so_once(cli, tiny_overrides, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(waiting, "SHORT", 0.0)
    monkeypatch.setattr(waiting, "MUCH", 1000.0)
    assert cli("model=vanilla", "trainer.max_epochs=2", "threads=2", *tiny_overrides, "data.batch_size=240") == 0
    assert caplog.text.count("the run waits: it got") == 1
    assert "threads=1 would wait less" in caplog.text
