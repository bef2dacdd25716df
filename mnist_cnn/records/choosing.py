"""The page docs/records/choosing.md: what was measured while choosing, on validation images."""

from collections.abc import Sequence
from pathlib import Path

from mnist_cnn.records.entries import Ingredient, ablations
from mnist_cnn.records.seeds import Seeds
from mnist_cnn.records.tables import FITTED
from mnist_cnn.report.difference import Difference
from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import markdown_table
from mnist_cnn.reproduce.claims import WORDS, words
from mnist_cnn.reproduce.pages import refresh
from mnist_cnn.runs.record import known

HEADING = "# What was measured while choosing\n"


def write_choosing(results: Path, book: Path) -> None:
    tables = {name: _ablation(ingredients, results) for name, ingredients in ablations().items()}
    parts = [f"## {name}\n\n{table}" for name, table in tables.items() if table]
    refresh(book / "choosing.md", HEADING, "\n\n".join(parts) + "\n")


def _ablation(ingredients: Sequence[Ingredient], results: Path) -> str:
    """Empty where the recipe as it is has not run."""
    seeds = {one.name: Seeds(results / "records" / one.runs.results("choosing")) for one in ingredients}
    base, *changes = ingredients
    if not seeds[base.name].runs:
        return ""
    lines = [["change", "validation accuracy", "n", *WORDS, FITTED]]
    as_it_is = seeds[base.name].of("val/acc")
    images = known(next(iter(seeds[base.name].runs.values())).protocol).val_images
    lines.append([base.what, *_told(seeds[base.name], base.seeds), "", "", "", _fitted(seeds[base.name])])
    for one in changes:
        own = seeds[one.name].of("val/acc")
        if own:
            compared = Difference.of(as_it_is, own, images)
            told = [*_told(seeds[one.name], one.seeds), *words(compared, compared.p), _fitted(seeds[one.name])]
            lines.append([one.what, *told])
    left = [one.what for one in changes if not seeds[one.name].runs]
    on_folds = f"Each seed validates on another of {base.folds} parts of the training images.\n\n" if base.folds else ""
    not_yet = "\n\nNo run yet:\n\n" + "\n".join(f"- {what}" for what in left) if left else ""
    return on_folds + markdown_table(lines) + not_yet


def _told(seeds: Seeds, planned: int) -> list[str]:
    found = seeds.of("val/acc")
    n = str(len(found)) if len(found) >= planned else f"{len(found)} of {planned}"
    return [Spread.of(list(found.values())).in_percent.text(2), n]


def _fitted(seeds: Seeds) -> str:
    return f"{Spread.of(list(seeds.of('train/acc').values())).in_percent.mean:.2f}"
