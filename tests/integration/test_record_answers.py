"""What records answered to test images, kept from their run directories: alone, by several views, as ensembles."""

import pytest

from mnist_cnn import evaluate
from mnist_cnn.config.compose import compose_named
from mnist_cnn.records import answers
from mnist_cnn.records.entries import RecordEntry
from mnist_cnn.records.seeds import TEST_IMAGES, Seeds
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import StudyRun
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.record import Record


def test_answers_of_runs_and_of_their_ensembles_are_those_that_evaluate_gives(
    cli, tiny_overrides, tmp_path, monkeypatch
):
    ensembles = RecordEntry(1, "ensemble", "2026-11-26", "the first", [], members=2)
    single = RecordEntry(2, "any", "2026-11-26", "the first", [])
    monkeypatch.setattr(answers, "records", lambda: [ensembles, single])
    runs = [StudyRun(ensembles.runs, "record", seed) for seed in (1, 2, 3)] + [StudyRun(single.runs, "record", 1)]
    results, root = Results(tmp_path / "results/records"), tmp_path / "runs"
    fit = ["model=gap", "model.stages=[[2],[3]]", "trainer.max_epochs=1", *tiny_overrides]
    for run in runs:
        assert cli(*fit, f"seed={run.seed}", f"hydra.run.dir={root / run.path}") == 0
        results.keep(run, Run(root / run.path))
    answers.keep_answers(runs, results, root)
    folder, one = (results.file(run).parent for run in (runs[0], runs[-1]))
    kept = sorted(str(file.relative_to(results.root)) for file in results.root.rglob("*/record/*/*.csv"))
    assert kept == [
        "any/2/record/missed/seed_1.csv", "any/2/record/shifted/seed_1.csv",
        "ensemble/1/record/ensembles/seeds_1_2.csv",
        *(f"ensemble/1/record/missed/seed_{seed}.csv" for seed in (1, 2, 3)),
    ]  # fmt: skip
    first, second, *_, alone = (root / run.path for run in runs)
    images = int(sum(map(sum, Record.load(results.file(runs[0])).confusion)))
    figures = evaluate.evaluate(compose_named("evaluate", [f"ensemble=[{first},{second}]"]))
    shifted = evaluate.evaluate(compose_named("evaluate", [f"run_dir={alone}", "shifts=true"]))
    found = Seeds.of_record(ensembles, tmp_path / "results")
    assert found.accuracies == {1: pytest.approx(1 - images * (1 - figures["ensemble/acc"]) / TEST_IMAGES)}
    assert Seeds(one).shifted == {1: pytest.approx(1 - images * (1 - shifted["shifted/acc"]) / TEST_IMAGES)}
    assert not found.complete
    assert found.parameters == 2 * Seeds(folder).parameters
    (one / "missed/seed_1.csv").unlink()
    Run(alone).metrics_file.write_text("{}")  # the directory holds another run now
    answers.keep_answers(runs, results, root)
    assert not (one / "missed/seed_1.csv").exists()
