"""The plan of a reproduction, its results, and the verdict."""

import itertools
from pathlib import Path

import pytest

from mnist_cnn import NUMERICS
from mnist_cnn.config.compose import compose_run
from mnist_cnn.errors import ConfigError
from mnist_cnn.report.spread import Spread
from mnist_cnn.reproduce.__main__ import Options, parse
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.running import time_left
from mnist_cnn.reproduce.study import PROTOCOLS, Entry, StudyRun, chosen, composed, documents, plan
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.record import VERSION, Record
from mnist_cnn.runs.settings import settings_digest
from mnist_cnn.sweep.jobs import start_or_continue

ROOT = Path(__file__).parents[2]


def test_the_plan_has_enough_seeds_and_the_documents_nets_under_both_protocols():
    runs = plan(chosen([], documents()), None, None)
    count: dict[tuple[str, str], int] = {}
    for run in runs:
        count[run.entry.key, run.protocol] = count.get((run.entry.key, run.protocol), 0) + 1
    every = [entry for document in documents() for entry in document.entries]
    once = {entry.results("document"): entry for entry in reversed(every)}
    assert [entry.name for entry in every if entry not in once.values()] == ["conv2_fc128_sigmoid_pool_as_run"]
    for entry in once.values():
        wanted = (entry.seeds or 3, None) if entry.probe else (entry.seeds or 5, 3)
        assert (count.get((entry.key, "document")), count.get((entry.key, "holdout"))) == wanted
    assert [(run.protocol, run.seed) for run in runs] == sorted((run.protocol, run.seed) for run in runs)


def test_an_experiment_is_named_with_its_document_or_without():
    every = documents()
    assert [entry.key for entry in chosen(["model_2"], every)] == ["five_models/model_2"]
    assert chosen(["five_models/model_2"], every) == chosen(["model_2", "five_models/model_2"], every)
    names = [entry.name for document in every for entry in document.entries]
    assert len(set(names) - {document.name for document in every}) == len(names)  # so that none means two
    with pytest.raises(ConfigError, match=r"modle_2: no such document or experiment; did you mean 'model_2'\?"):
        chosen(["modle_2"], every)


def test_equal_nets_share_a_digest_and_protocols_do_not():
    runs = plan(chosen(["sigmoid", "five_models/model_5"], documents()), 1, None)
    digests = {run.path: run.digest for run in runs}
    same = "sigmoid/conv2_fc128_sigmoid{}/document/seed_1"
    twin, *_ = plan(chosen(["conv2_fc128_sigmoid_pool_as_run"], documents()), 1, "document")
    assert (twin.path, twin.digest) == (same.format(""), digests[same.format("")])
    assert digests[same.format("")] != digests[same.format("_15_epochs")]
    assert digests["five_models/model_5/document/seed_1"] != digests["five_models/model_5/holdout/seed_1"]


def test_every_finished_run_in_git_was_made_with_the_settings_of_today():
    """Also those of version 1, whose digest hung on where the classes lay."""
    all_of = [entry for document in documents() for entry in document.entries]
    entries: dict[str, Entry] = {}
    for entry, protocol in itertools.product(all_of, PROTOCOLS):
        first = entries.setdefault(entry.results(protocol), entry)
        assert StudyRun(first, protocol, 1).digest == StudyRun(entry, protocol, 1).digest  # one place, one net
    files = [file for file in (ROOT / "results/reproduction").rglob("seed_*.json") if Record.load(file).completed]
    assert len(files) >= 144
    today: dict[str, str] = {}
    for file in files:
        folder = str(file.relative_to(ROOT / "results/reproduction").parent)
        if folder not in today:
            today[folder] = settings_digest(composed(entries[folder], Path(folder).name))
        record = Record.load(file)
        assert record.settings == today[folder], file
        assert record.version > 1 or record.config_digest != today[folder]


def test_names_and_options_are_checked_together_with_hints():
    with pytest.raises(ConfigError, match="did you mean 'ablation/baseline'"):
        chosen(["ablation/basline"], documents())
    with pytest.raises(ConfigError) as caught:
        parse(["ablation", "seed=3", "jobs=0", "protocol=both"])
    assert len(caught.value.problems) == 3
    assert parse(["ablation", "seeds=3"]) == (["ablation"], Options(seeds=3))


def test_spread_is_the_sample_standard_deviation():
    spread = Spread.of([0.97, 0.98, 0.99])
    assert (spread.mean, spread.sd, spread.low, spread.high, spread.n) == pytest.approx((0.98, 0.01, 0.97, 0.99, 3))
    assert spread.in_percent.text(2) == "98.00 ± 1.00"
    assert Spread.of([0.5]).in_percent.text(2) == "50.00"


def finished(results: Results, run: StudyRun, accuracy: float) -> None:
    file = results.root / f"{run.path}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        "best_epoch": 2, "test/acc": accuracy, "test/loss": 0.1, "best/acc": accuracy + 0.001, "train/acc": 0.99,
    }  # fmt: skip
    Record.model_validate(
        {
            "version": VERSION, "status": "completed", "config_digest": run.digest, "numerics": NUMERICS,
            "figures": figures, "seed": run.seed, "parameters": {"total": 4738826, "trainable": 4738826}, "epochs": 3,
            "confusion": [[1] * 10] * 10,
        }
    ).save(file)  # fmt: skip
    head = "epoch,train/loss,train/acc,val/loss,val/acc,seconds\n"
    rows = "1,0.5,0.9,0.4,0.95,10\n2,0.3,0.95,0.2,0.97,12\n3,0.2,0.96,0.2,0.97,900\n"
    file.with_suffix(".csv").write_text(head + rows)


def test_results_made_with_another_configuration_or_code_do_not_count(tmp_path):
    results = Results(tmp_path)
    run = StudyRun(Entry("d", "e", "sigmoid/own_dense_baseline"), "document", 1)
    assert results.of(run) is None
    finished(results, run, 0.99)
    assert results.of(run).results["test/acc"] == 0.99
    assert results.of(StudyRun(Entry("d", "e", "sigmoid/conv1_sigmoid"), "document", 1)) is None
    file = tmp_path / f"{run.path}.json"
    file.write_text(file.read_text().replace(f'"numerics": {NUMERICS}', f'"numerics": {NUMERICS - 1}'))
    assert results.of(run) is None


def test_printed_logs_end_at_the_reported_figures():
    logged = [entry for document in documents() for entry in document.entries if entry.printed]
    assert len(logged) == 11
    for entry in logged:
        epochs = compose_run([f"experiment={entry.experiment}"]).cfg.trainer.max_epochs
        assert {len(column) for column in entry.printed.values()} == {epochs}
        assert entry.printed["val/acc"][-1] == entry.reported["acc"]
        assert entry.printed["val/loss"][-1] == entry.reported["loss"]


def test_the_time_left_counts_disturbed_epochs_little_and_takes_the_mean_for_what_never_ran(tmp_path):
    known, unknown = Entry("sigmoid", "a", "sigmoid/own_dense_baseline"), Entry("sigmoid", "b", "sigmoid/conv1_sigmoid")
    runs = plan([known, unknown], 3, "document")
    results = Results(tmp_path)
    assert time_left(runs, results, 1) == "; 6 left"
    finished(results, runs[0], 0.85)  # epochs of 10, 12 and 900 s
    (tmp_path / f"{runs[2].path}.csv").touch()  # all that a kill while it was being kept left of this one
    assert time_left(runs[1:], results, 1) == "; 5 left, about 3 min"
    assert time_left(runs[1:], results, 3) == "; 5 left, about 1 min"
    assert time_left([], results, 1) == ""


def test_kept_figures_are_those_of_the_run(tmp_path):
    run, trained = plan(chosen(["squeezed/squeeze_8"], documents()), 1, "document")[0], Run(tmp_path / "runs")
    trained.path.mkdir()
    trained.history_file.write_text("epoch\n")
    trained.save_record(Record(status="completed", seed=1, command=["python", "-m", "mnist_cnn.train"]))
    Results(tmp_path / "results").keep(run, trained)
    kept = tmp_path / "results" / f"{run.path}.json"
    assert kept.read_bytes() == trained.metrics_file.read_bytes()
    assert kept.with_suffix(".csv").read_bytes() == trained.history_file.read_bytes()


def test_a_half_done_run_continues_and_one_of_another_configuration_moves_aside(tmp_path):
    run, log_file = Run(tmp_path / "run"), tmp_path / "run.log"
    cfg = compose_run(["model=gap", "seed=3"]).cfg

    def job():
        return start_or_continue(cfg, run, ["seed=3"], log_file)

    fresh = job()
    assert (fresh.cfg, fresh.overrides, fresh.goes_on) == (cfg, ["seed=3"], False)
    run.checkpoints.mkdir(parents=True)
    run.save_config(cfg, ["model=gap", "seed=3"])
    run.checkpoint("last").touch()
    run.save_record(Record(status="interrupted", seed=3, numerics=NUMERICS))
    assert (job().goes_on, job().overrides) == (True, ["model=gap", "seed=3"])
    run.save_record(Record(status="interrupted", seed=3, numerics=NUMERICS - 1))
    assert not job().goes_on
    assert (tmp_path / "run.old1").is_dir()
    assert not run.path.exists()
    run.checkpoints.mkdir(parents=True)
    run.save_config(compose_run(["model=gap", "seed=3", "optimizer.lr=0.5"]).cfg, ["seed=3"])
    run.checkpoint("last").touch()
    run.save_record(Record(status="interrupted", seed=3, numerics=NUMERICS))
    assert not job().goes_on
    assert (tmp_path / "run.old2").is_dir()
