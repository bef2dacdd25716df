"""The Optuna search with real processes."""

import contextlib
import re
import shlex
import sqlite3

import optuna
import pytest
import sqlalchemy
from conftest import metrics_of
from program import start
from test_sweep import FEW, wait_for

import mnist_cnn.search.__main__ as search
from mnist_cnn import validate
from mnist_cnn.errors import ConfigError, UserError
from mnist_cnn.runs.directory import Run
from mnist_cnn.search import storage as storages
from mnist_cnn.search.settings import again, agree, check_training, find_plan, read_settings
from mnist_cnn.search.storage import open_storage, wait_for_server
from mnist_cnn.search.trials import Trials
from mnist_cnn.sweep.plan import Sweep

FAST = ["model=sequential", "trainer.max_epochs=2", "jobs=2", "space.data=null", "startup_trials=2"]


def trials_of(folder) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="search", storage=open_storage(f"sqlite:///{folder}/study.db")).trials


def only(folder):
    [plan] = folder.rglob("sweep.yaml")
    return plan.parent


@pytest.mark.slow
def test_it_keeps_every_trial_and_goes_on_where_it_stopped(cli, tiny_overrides, tmp_path, capsys):
    assert cli(*FAST, "trials=2", *tiny_overrides, main=search.main) == 0
    folder = only(tmp_path)
    command = (
        capsys.readouterr().out.partition("is best, ")[2].partition("python -m mnist_cnn.train ")[2].splitlines()[0]
    )
    assert f"data.root={tiny_overrides[1].partition('=')[2]}" in shlex.split(command)
    assert cli(*shlex.split(command), main=validate.main) == 0
    capsys.readouterr()
    assert cli(f"directory={folder}", "trials=3", "startup_trials=2", main=search.main) == 0
    assert "2 of 3 trials" in capsys.readouterr().out
    found = trials_of(folder)
    assert len(found) == 3
    assert all(set(trial.params) == {"optimizer.lr"} for trial in found)  # the space goes on too
    for trial in found:
        metrics = metrics_of(Run(folder / str(trial.number)))
        assert Run(folder / str(trial.number)).config().optimizer.lr == trial.params["optimizer.lr"]
        assert 3e-4 <= trial.params["optimizer.lr"] <= 0.1
        if trial.state == optuna.trial.TrialState.COMPLETE:
            assert trial.value == metrics["figures"]["best/acc"]
        else:
            assert (trial.state, metrics["status"]) == (optuna.trial.TrialState.PRUNED, "pruned")
    assert (folder / "summary.png").is_file()
    assert len(Sweep.load(folder).jobs) == 3


@pytest.mark.slow
def test_a_space_and_an_optimizer_of_ones_own_lie_in_a_config_dir(cli, tiny_overrides, tmp_path, capsys):
    for name, text in {
        "space/mine": "optimizer: {momentum: {low: 0.85, high: 0.86}}",
        "optimizer/mine": "_target_: torch.optim.SGD\n_partial_: true\nlr: 0.01\nmomentum: 0.9",
    }.items():
        file = tmp_path / f"myconf/{name}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    own = ["--config-dir", str(tmp_path / "myconf"), "model=sequential", "space=mine", "optimizer=mine"]
    assert cli(*own, "trainer.max_epochs=1", "trials=1", *tiny_overrides, main=search.main) == 0
    [trial] = trials_of(only(tmp_path))
    assert 0.85 <= trial.params["optimizer.momentum"] <= 0.86
    assert cli(*own[2:], "trials=1", *tiny_overrides, main=search.main) == 2
    assert "space=mine: no such space; " in capsys.readouterr().err
    assert cli("--config-dir=nowhere", "trials=1", main=search.main) == 2
    assert "--config-dir nowhere: no such folder" in capsys.readouterr().err
    assert cli("--cfg", "job", main=search.main) == 2
    assert "unrecognized arguments: --cfg; settings are key=value" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_search_continues_its_half_done_trial(tiny_overrides, tmp_path):
    call = ["model=sequential", "trainer.max_epochs=20", "jobs=1", "space.data=null", "trials=2", "prune=false",
            *tiny_overrides, *FEW]  # fmt: skip
    process = start(call, tmp_path, "mnist_cnn.search.__main__")
    wait_for(lambda: len(list(tmp_path.rglob("0/checkpoints/last.ckpt"))) == 1)
    process.kill()
    process.wait()
    folder = only(tmp_path)
    wait_for(lambda: not Run(folder / "0").busy)
    [begun] = trials_of(folder)
    again = start([f"directory={folder}", "trials=2", "prune=false"], tmp_path, "mnist_cnn.search.__main__")
    output = again.output(timeout=200)
    assert again.returncode == 0, output
    found = trials_of(folder)
    assert [trial.state.name for trial in found] == ["COMPLETE", "COMPLETE"]
    assert found[0].params == begun.params
    assert "resumed" in (folder / "0" / "train.log").read_text()


@pytest.mark.slow
def test_nets_within_a_budget_and_the_best_again_with_fresh_seeds(cli, tiny_overrides, tmp_path, capsys):
    call = ["model=small", "space=small_nets", "budget=2500", "trials=3", "pruner=halving", "finalists=2",
            "final_seeds=2", "jobs=2", "trainer.max_epochs=1", f"directory={tmp_path}/nets",
            *tiny_overrides]  # fmt: skip
    assert cli(*call, main=search.main) == 0
    told, folder = capsys.readouterr().out, tmp_path / "nets"
    ran = [trial for trial in trials_of(folder) if (folder / str(trial.number)).is_dir()]
    assert len(ran) == 3 < len(trials_of(folder))  # most draws are larger
    sizes = [metrics_of(Run(folder / str(trial.number)))["parameters"]["trainable"] for trial in ran]
    assert max(sizes) <= 2500
    finals = [metrics_of(Run(file.parent)) for file in sorted(folder.glob("final/*/seed_*/metrics.json"))]
    assert [final["seed"] for final in finals] == [2, 3, 2, 3]
    assert all(final["protocol"]["test"] == "never" for final in finals)
    assert "2 settings with 2 fresh seeds each, 4 runs to do" in told
    assert f"python -m mnist_cnn.compare {folder}/final/" in told
    for number in {file.parent.name for file in folder.glob("final/*/seed_2")}:
        assert re.search(rf"trial {number}: .* %, 2 seeds", told)
    assert cli(*call, main=search.main) == 0
    assert "4 runs to do" not in capsys.readouterr().out


def test_a_budget_that_no_net_keeps_is_an_error(cli, tiny_overrides, monkeypatch, capsys):
    monkeypatch.setattr(search, "DRAWS", 3)
    call = ["model=small", "space=none", "space.model.width={low: 30, high: 40}", "budget=100", *tiny_overrides]
    assert cli(*call, main=search.main) == 2
    assert "budget=100: none of 3 draws is as small, the smallest has" in capsys.readouterr().err


@pytest.mark.slow
def test_a_draw_that_makes_no_net_fails_alone(cli, tiny_overrides, tmp_path, capsys):
    """Two stages with one padding, or the other way round; the search goes on, and again where it stopped."""
    call = ["model=small", "space=none", "space.model.depths={choices: ['[1]', '[1, 1]']}", "sampler=random",
            "sampler_seed=1", "space.model.padding={choices: ['[same]', '[same, same]']}", "budget=100000",
            "prune=false", "debug=one_batch", f"directory={tmp_path}/nets", *tiny_overrides]  # fmt: skip
    assert cli(*call, "trials=4", main=search.main) == 1
    states = [trial.state for trial in trials_of(tmp_path / "nets")]
    assert sorted({state.name for state in states}) == ["COMPLETE", "FAIL"]
    capsys.readouterr()
    assert cli(f"directory={tmp_path}/nets", "space.model.width={low: 4, high: 8}", main=search.main) == 2
    assert "space: this search continues as it was started" in capsys.readouterr().err


def test_a_search_goes_on_with_the_settings_it_was_begun_with(cli, tiny_overrides, tmp_path, capsys, monkeypatch):
    """Without a word of them; what would mix two searches is refused, how much is wanted may change."""
    folder = tmp_path / "nets"
    call = ["model=small", "space=none", "space.model.width={low: 4, high: 12}", "budget=2500", "sampler=random",
            "space.optimizer.lr={low: 0.001, high: 0.1}", "prune=false", "finalists=1", "final_seeds=1", "jobs=1",
            "debug=one_batch", f"directory={folder}", *tiny_overrides]  # fmt: skip
    stopped: list[str] = []
    monkeypatch.setattr(search, "stopping", lambda words: stopped.append(words()) or contextlib.nullcontext())
    assert cli(*call, "trials=1", main=search.main) == 0
    again = shlex.split(stopped[0].partition("python -m mnist_cnn.search ")[2].splitlines()[0])
    assert again == [f"directory={folder}", "trials=1", "jobs=1"]
    plan = (folder / "sweep.yaml").read_text()
    assert cli(f"directory={folder}", "budget=500", "trials=2", main=search.main) == 2
    assert "budget=500: this search continues as it was started, with budget=2500" in capsys.readouterr().err
    assert (folder / "sweep.yaml").read_text() == plan
    assert cli(f"directory={folder}", "trials=2", "finalists=2", main=search.main) == 0
    ran = [trial for trial in trials_of(folder) if (folder / str(trial.number)).is_dir()]
    sizes = [metrics_of(Run(folder / str(trial.number)))["parameters"]["trainable"] for trial in ran]
    assert len(ran) == 2
    assert max(sizes) <= 2500
    assert "finals: 2 settings with 1 fresh seed each, 1 run to do" in capsys.readouterr().out
    assert cli(f"directory={folder}", "sampler_seed=5", main=search.main) == 0
    assert "sampler_seed=5" in stopped[-1]
    assert read_settings([f"directory={folder}"])[0].sampler_seed is None  # or two processes drew the same
    capsys.readouterr()
    assert cli(f"directory={folder}", main=search.main) == 0
    assert "search: 2 of 2 trials" in (told := capsys.readouterr().out)
    assert "finals: 2 settings with 1 fresh seed each, 0 runs to do" in told
    assert re.search(r"^trial \d+: \d+\.\d\d %, 1 seed$", told, re.MULTILINE)
    assert cli(f"directory={folder}", "trials=1", main=search.main) == 0
    assert "search: 2, more than trials=1: none begins" in capsys.readouterr().out


def test_a_search_of_an_earlier_version_says_all_that_its_plan_does_not(tmp_path):
    (tmp_path / "sweep.yaml").write_text("arguments: [model=gap]\nspace:\n  optimizer.lr: {low: 0.1, high: 1}\n")
    cfg, overrides = read_settings([f"directory={tmp_path}", "budget=2000", "trials=9"])
    directory, plan = find_plan(cfg, overrides)
    plan = agree(directory, plan)
    words = shlex.split(again(directory, plan, cfg))
    assert {"budget=2000", "trials=9", "sampler=tpe", "prune=true"} <= set(words)
    assert read_settings([f"directory={tmp_path}", "budget=3000"])[0].trials == 9
    assert read_settings([f"directory={tmp_path}"])[0].budget is None
    others = plan.model_copy(update={"settings": plan.settings | {"budget": 3000}})
    (tmp_path / "sweep.yaml").unlink()
    agree(directory, others)
    with pytest.raises(UserError, match="budget: another process began this search at once, otherwise"):
        agree(directory, plan.model_copy(update={"settings": plan.settings | {"budget": 2000}}))


@pytest.mark.slow
def test_two_processes_share_a_search(tiny_overrides, tmp_path):
    shared = [*FAST, "trials=4", "jobs=1", f"directory={tmp_path}/shared", *tiny_overrides]
    both = [start(shared, tmp_path, "mnist_cnn.search.__main__") for _ in range(2)]
    folder = tmp_path / "shared"
    for process in both:
        output = process.output(timeout=200)
        assert process.returncode == 0, output
    found = trials_of(folder)
    assert len(found) == 4
    assert all(trial.state.is_finished() for trial in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sampler=tree"], ["sampler = 'tree'", "tpe"]),
        (["trials=0"], ["trials = 0"]),
        (["space.optimizer.lrr={low: 1, high: 2}"], ["optimizer.lrr: unknown key"]),
        (["space.optimizer.lr={low: -1, high: 0.1}"], ["space.optimizer.lr", "low", "log"]),
        (["space.data=3"], ["space.data = 3"]),
        (["space.optimizer.lr={low: 0.001, high: 0.1, lgo: true}"], ["space.optimizer.lr", "lgo"]),
        (["space.data.batch_size={choices: [32, -5, 64]}"], ["batch_size = -5"]),
        (["modle=gap"], ["modle"]),
        (["storage=jurnal"], ["storage = 'jurnal'", "postgresql://", "did you mean 'journal'?"]),
        (["storage=postgresql://me:SECRET@host/db"], ["'postgresql://me:***@host/db'", "~/.pgpass or PGPASSWORD"]),
        (["storage=postgresql://me:SEC{RET@host/db"], ["not a valid override"]),
        (["storage=postgresql://me@host/db?password=SECRET"], ["password=***"]),
        (["storage=postgrsql://me@host/db"], ["unknown database 'postgrsql'", "did you mean 'postgresql'?"]),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(cli, tiny_overrides, tmp_path, capsys, arguments, words):
    tiny = [text for text in tiny_overrides if not text.startswith("data.batch_size=")]  # which is searched
    assert cli(*arguments, *tiny, main=search.main) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert "SEC" not in error
    assert not list(tmp_path.rglob("study.db"))


def test_help_names_the_settings_and_shows_a_space(cli, capsys):
    assert cli("--help", main=search.main) == 0
    printed = capsys.readouterr().out
    assert "space.model.dropout={low: 0.0, high: 0.3}" in printed
    assert "sampler_seed" in printed


def test_a_setting_out_of_its_range_is_refused(cli, capsys):
    assert cli("prune=maybe", "sampler_seed=abc", "trials=true", main=search.main) == 2
    message = capsys.readouterr().err
    for words in (
        "prune = 'maybe': must be true",
        "sampler_seed = 'abc': must be int",
        "trials = True: must be int",
    ):
        assert words in message


def test_nothing_may_be_among_the_choices(tiny_overrides):
    check_training(tiny_overrides, {"trainer.gradient_clip_val": [None, 1.0]})
    with pytest.raises(ConfigError, match="gradient_clip_val = 'None'"):
        check_training(tiny_overrides, {"trainer.gradient_clip_val": ["None"]})


def test_a_server_that_is_away_is_asked_again_for_a_while(monkeypatch, capsys):
    engine, away = sqlalchemy.create_engine("sqlite://"), [True, True]
    connect = engine.dialect.connect

    def sometimes(*arguments, **options):
        if away and away.pop():
            raise sqlite3.OperationalError("connection refused\nIs it running?")
        return connect(*arguments, **options)

    monkeypatch.setattr(engine.dialect, "connect", sometimes)
    monkeypatch.setattr(storages, "RETRY_SECONDS", 0.0)
    wait_for_server(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar() == 1
    [said] = capsys.readouterr().out.splitlines()
    assert said.startswith("storage: waiting up to 10 min for the server: connection refused (")
    away.append(True)
    monkeypatch.setattr(storages, "AWAY_SECONDS", -1.0)
    engine.dispose()
    with pytest.raises(sqlalchemy.exc.OperationalError):
        engine.connect()


@pytest.mark.parametrize("storage", [None, "journal"])
def test_a_trial_that_was_killed_is_taken_up_by_the_next_call(tmp_path, storage):
    space = {"optimizer.lr": optuna.distributions.FloatDistribution(0.1, 1)}
    first = Trials(tmp_path, "random", 1, 0, storage)
    with first.owned():
        [(number, values)] = first.to_run(1, space)
        assert first.tell(number, killed=True)
    assert list(Trials(tmp_path, "random", 1, 0, storage).to_run(1, space)) == [(number, values)]


def test_a_setting_stands_by_its_best_trial(tmp_path):
    from optuna.distributions import FloatDistribution
    from optuna.trial import create_trial

    found = Trials(tmp_path, "random", 1, 0)
    for rate, value in ((0.1, 0.97), (0.2, 0.98), (0.1, 0.99)):
        space = {"optimizer.lr": FloatDistribution(0, 1)}
        found.study.add_trial(create_trial(params={"optimizer.lr": rate}, distributions=space, value=value))
    assert found.best(2) == [(2, {"optimizer.lr": 0.1}), (1, {"optimizer.lr": 0.2})]
