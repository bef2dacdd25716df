"""The book of docs/records: every record, what it takes to check it, and what all records miss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_cnn.config.build import build_data
from mnist_cnn.config.compose import compose_run
from mnist_cnn.records.choosing import write_choosing
from mnist_cnn.records.entries import published, records
from mnist_cnn.records.missed import Missed, draw_missed, missed_by_all
from mnist_cnn.records.plots import draw
from mnist_cnn.records.seeds import TEST_IMAGES, Seeds
from mnist_cnn.records.tables import (
    asked_otherwise,
    best_of_each_budget,
    checks,
    elsewhere_table,
    fitted,
    prices,
    story,
)
from mnist_cnn.report.text import markdown_table
from mnist_cnn.reproduce.pages import refresh
from mnist_cnn.reproduce.plots import UNDATED
from mnist_cnn.runs.answers import MISSED

HEADING = "# The book of records\n"


def write_book(results: Path, book: Path, pictures: bool = True) -> None:
    """README.md and choosing.md between their marks, and the pictures."""
    book.mkdir(parents=True, exist_ok=True)
    write_choosing(results, book)
    found = {one.number: Seeds.of_record(one, results) for one in records()}
    parts = ["## Records", best_of_each_budget(found), "## In the order in which they were set", story(found)]
    parts += ["## What they take", prices(found), "## What they fit", fitted(found)]
    parts += ["## Asked otherwise", asked_otherwise(found)]
    on_others = elsewhere_table(results)
    parts += ["## On other images", on_others] if on_others else []
    parts += ["## To check them", checks(found)]
    parts += ["## Figures of others", _published()]
    counted = [results / one.folder for one in records() if found[one.number].complete]
    missed = missed_by_all(counted)
    parts += ["## What records miss", _missed(missed)] if missed else []
    refresh(book / "README.md", HEADING, "\n\n".join(parts) + "\n")
    if pictures:
        draw({number: seeds for number, seeds in found.items() if seeds.complete}, results, book)
        if missed:
            data: Any = build_data(compose_run([]).cfg)
            data.prepare_data()
            figure = draw_missed(missed, data.read("test").images)
            figure.savefig(book / f"{MISSED}.png", dpi=110, metadata=UNDATED)


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
