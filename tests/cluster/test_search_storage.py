"""Searches whose trials several processes share, one of them killed: in a real PostgreSQL, and in a journal file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import postgresql
import pytest
from program import Program, start
from searches import CALL, EPOCHS, TRIALS, assert_none_lost_or_doubled, study_of
from waiting import wait

import mnist_cnn.search.__main__ as search
from mnist_cnn.runs.directory import Run
from mnist_cnn.search.trials import OWNER

pytestmark = pytest.mark.cluster
pytest_plugins = ["cluster_fixtures"]
MODULE = "mnist_cnn.search.__main__"


@pytest.fixture
def server(monkeypatch) -> Iterator[postgresql.Server]:
    if reason := postgresql.missing():
        pytest.skip(reason)
    monkeypatch.setenv("PGPASSWORD", postgresql.PASSWORD)
    with postgresql.running() as server:
        yield server


def kill_one_of_three(folder: Path, words: list[str]) -> tuple[int, list[Program]]:
    """The trial that the first left half done, and the two that go on."""
    first = start(words, folder.parent, MODULE)
    wait(lambda: (folder / "0" / "config.yaml").exists(), "the first trial")
    study = study_of(folder)
    victim = study.trials[0].user_attrs[OWNER]
    others = [start(words, folder.parent, MODULE) for _ in range(2)]
    half_done: list[int] = []

    def in_the_midst() -> bool:
        running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        mine = [trial.number for trial in running if trial.user_attrs.get(OWNER) == victim]
        half_done[:] = [number for number in mine if 2 <= len(Run(folder / str(number)).history()) < EPOCHS - 15]
        return len({trial.user_attrs.get(OWNER) for trial in running}) == 3 and bool(half_done)

    wait(in_the_midst, "three processes at work")
    first.kill()
    first.wait()
    return half_done[0], others


def share(folder: Path, storage: str, overrides: list[str]) -> str:
    """Returns what happened."""
    words = [*CALL, f"storage={storage}", f"trials={TRIALS}", f"trainer.max_epochs={EPOCHS}", f"directory={folder}"]
    half_done, others = kill_one_of_three(folder, [*words, *overrides])
    for process in others:
        output = process.output(timeout=500)
        assert process.returncode == 0, output
    assert assert_none_lost_or_doubled(folder, TRIALS, EPOCHS) == [half_done]
    return f"three processes, one killed in trial {half_done}, which another continued: {TRIALS} of {TRIALS} complete"


def test_a_journal_file_loses_and_doubles_nothing_when_one_of_three_is_killed(tiny_overrides, tmp_path, log):
    log(f"- search, journal file: {share(tmp_path / 'shared', 'journal', tiny_overrides)}")


def test_postgresql_loses_and_doubles_nothing_when_one_of_three_is_killed(
    cli, server, tiny_overrides, tmp_path, capsys, log
):
    log(f"- search, {server.version}: {share(tmp_path / 'shared', server.url, tiny_overrides)}")
    # Another search in the same database, and the first again: neither meets the other's trials.
    other = [*CALL, f"storage={server.url}", "trials=1", "trainer.max_epochs=1", f"directory={tmp_path}/other"]
    assert cli(*other, *tiny_overrides, main=search.main) == 0
    assert cli(f"directory={tmp_path}/shared", f"trials={TRIALS}", main=search.main) == 0
    assert f"search: {TRIALS} of {TRIALS} trials" in capsys.readouterr().out
    names = optuna.get_all_study_names(study_of(tmp_path / "other")._storage)
    assert sorted(name[:-9] for name in names) == ["other", "shared"]
    assert len(study_of(tmp_path / "other").trials) == 1
    secret = postgresql.PASSWORD.encode()
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and secret in file.read_bytes()]


def test_what_the_server_refuses_is_said_in_a_line_and_leaves_nothing(
    cli, server, tiny_overrides, tmp_path, monkeypatch, capsys
):
    new = [*CALL, f"storage={server.url}", f"directory={tmp_path}/new", *tiny_overrides]
    monkeypatch.setenv("PGPASSWORD", "wrong-word")
    assert cli(*new, main=search.main) == 2
    assert_one_line(capsys.readouterr().err, "password authentication failed", "~/.pgpass or PGPASSWORD")
    server.stop()
    assert cli(*new, main=search.main) == 2
    assert_one_line(capsys.readouterr().err, server.url, "Connection refused")
    assert not (tmp_path / "new").exists()


def search_until_the_server_stops(
    server: postgresql.Server, folder: Path, overrides: list[str], prepare: Callable[[], None] | None = None
) -> Program:
    words = [*CALL, "prune=true", f"storage={server.url}", "trials=2", f"trainer.max_epochs={EPOCHS}"]
    process = start([*words, f"directory={folder}", *overrides], folder.parent, MODULE, prepare=prepare)
    wait(lambda: len(Run(folder / "0").history()) >= 2, "the first epochs")
    server.stop()
    return process


def test_a_search_waits_for_a_server_that_is_started_again(server, tiny_overrides, tmp_path, log):
    folder = tmp_path / "back"
    process = search_until_the_server_stops(server, folder, tiny_overrides)
    wait(lambda: "waiting up to 10 min for the server" in process.printed.read_text(), "the search to miss it")
    server.start()
    output = process.output(timeout=300)
    assert process.returncode == 0, output
    assert "Connection refused" in output
    trials = study_of(folder).trials
    assert [trial.number for trial in trials] == [0, 1]
    assert all(trial.state.is_finished() for trial in trials)
    assert trials[0].value == Run(folder / "0").record().rank
    log(f"- search, {server.version}: started again meanwhile; the search waited for it and ended as ever")


def without_patience() -> None:
    from mnist_cnn.search import storage

    storage.AWAY_SECONDS = 0.0


def test_a_server_that_goes_away_costs_no_trial(cli, server, tiny_overrides, tmp_path):
    folder = tmp_path / "away"
    process = search_until_the_server_stops(server, folder, tiny_overrides, prepare=without_patience)
    output = process.output(timeout=200)
    assert process.returncode == 2, output
    assert_one_line(output[output.index("error: ") :], server.url, "Connection refused", "the same call goes on")
    assert Run(folder / "0").completed
    assert "no pruning meanwhile" in (folder / "0" / "train.log").read_text()
    server.start()
    assert cli(f"directory={folder}", "trials=2", main=search.main) == 0
    trials = study_of(folder).trials
    assert [trial.number for trial in trials] == [0, 1]
    assert all(trial.state.is_finished() for trial in trials)
    assert trials[0].value == Run(folder / "0").record().rank


def assert_one_line(said: str, *words: str) -> None:
    assert said.startswith("error: "), said
    assert len(said.strip().splitlines()) == 1, said
    assert all(word in said for word in words), said
