"""The tables of docs/records: every record with its interval and its price, and what single changes of a recipe do."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from mnist_cnn.config.build import build_data, build_model
from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.python_values import command
from mnist_cnn.inspect.layers import inspected_layers
from mnist_cnn.records.entries import Ingredient, RecordEntry, ablations, budgets, elsewhere, published, records
from mnist_cnn.records.missed import Missed, draw_missed, missed_by_all, outvoted
from mnist_cnn.records.plots import draw
from mnist_cnn.records.seeds import TEST_IMAGES, Seeds
from mnist_cnn.report.difference import Difference
from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import markdown_table
from mnist_cnn.reproduce.claims import WORDS, words
from mnist_cnn.reproduce.pages import refresh
from mnist_cnn.reproduce.plots import UNDATED
from mnist_cnn.runs.answers import MISSED
from mnist_cnn.runs.record import Record, known

VALIDATION_IMAGES = 5_000
ENSEMBLE = "ensemble"  # the budget of several nets together
HEADING = "# The book of records\n"


def write_book(results: Path, book: Path, pictures: bool = True) -> None:
    """README.md between its marks, and the pictures."""
    book.mkdir(parents=True, exist_ok=True)
    found = {one.number: Seeds.of_record(one, results) for one in records()}
    parts = ["## Records", _best(found), "## In the order in which they were set", _all(found)]
    on_others = _elsewhere(found, results)
    parts += ["## On other images", on_others] if on_others else []
    parts += ["## Figures of others", _published()]
    for name, ingredients in ablations().items():
        table = _ablation(ingredients, results)
        parts += [f"## While choosing: {name}", table] if table else []
    counted = [results / one.folder for one in records() if found[one.number].complete]
    missed = missed_by_all(counted)
    parts += ["## What all records miss", _missed(missed)] if missed else []
    refresh(book / "README.md", HEADING, "\n\n".join(parts) + "\n")
    if pictures:
        draw({number: seeds for number, seeds in found.items() if seeds.complete}, results, book)
        if missed:
            data: Any = build_data(compose_run([]).cfg)
            data.prepare_data()
            figure = draw_missed(missed, data.read("test").images)
            figure.savefig(book / f"{MISSED}.png", dpi=110, metadata=UNDATED)


def _best(found: dict[int, Seeds]) -> str:
    """Of each budget the record that stands: the best mean of those that have all their seeds."""
    lines = [["budget", "record", "test accuracy", "95 % interval of the mean", "seeds", "trained parameters"]]
    for budget in budgets():
        own = [one for one in records() if fits(one, budget, found) and found[one.number].complete]
        if not own:
            lines.append([budget, "none yet", "", "", "", ""])
            continue
        best = max(own, key=lambda one: found[one.number].accuracy.mean)
        lines.append([budget, f"{best.number}", *_accuracy(found[best.number]), f"{found[best.number].parameters:,}"])
    return markdown_table(lines)


def fits(record: RecordEntry, budget: str, found: dict[int, Seeds]) -> bool:
    """Whether a record keeps a budget: a small net may hold that of a larger one too, an ensemble only its own."""
    most = budgets()[budget]
    if (record.members > 1) != (budget == ENSEMBLE):
        return False
    return bool(found[record.number].runs) and (most is None or found[record.number].parameters <= most)


def _all(found: dict[int, Seeds]) -> str:
    head = ["number", "date", "budget", "test accuracy", "95 % interval of the mean", "seeds", "trained parameters",
            "all stored numbers", "multiply-adds", "training seconds", "all ten vote", "nine views of each image",
            "what changed",
            "from the record before", "p", "command", "commit", "results"]  # fmt: skip
    return markdown_table([head, *(_line(one, found) for one in records() if found[one.number].accuracies)])


def _line(one: RecordEntry, found: dict[int, Seeds]) -> list[str]:
    seeds = found[one.number]
    difference, p = "", ""
    if one.against is not None and found[one.against].runs:
        compared = Difference.of(found[one.against].accuracies, seeds.accuracies, TEST_IMAGES)
        value, interval, p = words(compared, compared.p)
        difference = f"{value} ({interval}) from {one.against}"
    return [
        str(one.number), one.date, one.budget, *_accuracy(seeds), f"{seeds.parameters:,}", f"{seeds.numbers:,}",
        f"{one.members * _multiply_adds(one.overrides):,}", seeds.seconds.text(0), _vote(one, seeds), _views(seeds),
        one.changed, difference, p, f"`{command('train', *one.overrides)}`", _commits(seeds.runs.values()),
        f"[{one.folder}](../../results/{one.folder})",
    ]  # fmt: skip


def _accuracy(seeds: Seeds) -> list[str]:
    spread = seeds.accuracy
    half = spread.half_width
    ends = f"{spread.mean - half:.3f}–{spread.mean + half:.3f}" if half is not None else ""
    return [f"{spread.text(3)} %", ends, str(spread.n)]


def _commits(runs: Iterable[Record]) -> str:
    return ", ".join(sorted({known(run.git).commit[:7] for run in runs}))


def _views(seeds: Seeds) -> str:
    """Once the answers of all seeds are kept: the accuracy, and how far it is from that of the images as they are."""
    own = seeds.shifted
    if not own or set(own) != set(seeds.accuracies):
        return ""
    value, interval, p = words(compared := Difference.of(seeds.accuracies, own, TEST_IMAGES), compared.p)
    return f"{Spread.of(list(own.values())).in_percent.text(3)} %: {value} ({interval}), p {p}"


def _elsewhere(found: dict[int, Seeds], results: Path) -> str:
    """Empty where none has run."""
    head = ["record", "images", "test accuracy", "95 % interval of the mean", "seeds", "trained parameters", "on MNIST",
            "command", "commit", "results"]  # fmt: skip
    lines = []
    for one in elsewhere():
        folder = f"records/{one.runs.results('record')}"
        if (seeds := Seeds(results / folder)).runs:
            lines.append([
                str(one.record), one.data, *_accuracy(seeds), f"{seeds.parameters:,}",
                f"{found[one.record].accuracy.text(3)} %", f"`{command('train', *one.overrides)}`",
                _commits(seeds.runs.values()), f"[{folder}](../../results/{folder})",
            ])  # fmt: skip
    return markdown_table([head, *lines]) if lines else ""


def _vote(record: RecordEntry, seeds: Seeds) -> str:
    """Of all seeds together, once there are all."""
    wrong = outvoted(seeds.folder) if seeds.complete and record.members == 1 else None
    return "" if wrong is None else f"{100 * (1 - wrong / TEST_IMAGES):.2f} %"


def _multiply_adds(overrides: Sequence[str]) -> int:
    """For one image."""
    net: Any = build_model(compose_run(list(overrides)).cfg).eval()
    with torch.random.fork_rng():
        return sum(layer.multiply_adds for layer in inspected_layers(net.net))


def _published() -> str:
    head = ["trained parameters", "accuracy", "how", "where"]
    lines = [[f"{one.parameters:,}", f"{one.accuracy:g} %", one.how,
              f"[{one.where}](https://github.com/{one.where}), {one.year}"] for one in published()]  # fmt: skip
    return markdown_table([head, *lines])


def _missed(found: Sequence[Missed]) -> str:
    worst = [one for one in found if one.times == one.runs]
    return (
        f"Of the {TEST_IMAGES:,} test images more than half of the runs of every record that keeps its answers miss "
        f"{len(found)}, all {found[0].runs} runs {len(worst)}; the picture shows those missed most often.\n\n"
        f"![test images that most runs of every record miss]({MISSED}.png)"
    )


def _ablation(ingredients: Sequence[Ingredient], results: Path) -> str:
    """Empty where the recipe as it is has not run."""
    seeds = {one.name: Seeds(results / "records" / one.runs.results("choosing")) for one in ingredients}
    base, *changes = ingredients
    if not seeds[base.name].runs:
        return ""
    lines = [["change", "validation accuracy", "n", *WORDS]]
    as_it_is = seeds[base.name].of("val/acc")
    lines.append([base.what, Spread.of(list(as_it_is.values())).in_percent.text(2), str(len(as_it_is)), "", "", ""])
    for one in changes:
        own = seeds[one.name].of("val/acc")
        if own:
            compared = Difference.of(as_it_is, own, VALIDATION_IMAGES)
            lines.append([one.what, Spread.of(list(own.values())).in_percent.text(2), str(len(own)),
                          *words(compared, compared.p)])  # fmt: skip
    left = [one.what for one in changes if not seeds[one.name].runs]
    return markdown_table(lines) + ("\n\nNo run yet:\n\n" + "\n".join(f"- {what}" for what in left) if left else "")
