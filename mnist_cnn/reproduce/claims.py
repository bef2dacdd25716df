"""What a document says beyond the figures of its nets, and what runs say of it: a table for each claim."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mnist_cnn.report.difference import Difference
from mnist_cnn.report.text import markdown_table
from mnist_cnn.reproduce.rows import Row
from mnist_cnn.reproduce.verdicts import holm
from mnist_cnn.runs.record import known

IMAGES = 10_000  # of the test images
WORDS = ["difference", "95 % interval", "p"]


@dataclass(frozen=True)
class Claim:
    """See claims.yaml."""

    title: str
    says: str
    nets: Sequence[str]
    against: str | None = None
    pairs: bool = False
    picture: str | None = None
    found: str = ""


@cache
def claims() -> Mapping[str, Sequence[Claim]]:
    """Of each document, by its name."""
    tree: Any = OmegaConf.to_container(OmegaConf.load(Path(__file__).parent / "claims.yaml"))
    return {document: [Claim(**node) for node in nodes] for document, nodes in tree.items()}


def claims_part(document: str, own: Sequence[Row]) -> list[str]:
    """Paragraphs; none where nothing has run that bears on a claim."""
    rows = {row.entry.name: row for row in own}
    parts = []
    for claim in claims().get(document, []):
        there = [rows[name] for name in claim.nets if name in rows]
        missing = [name for name in claim.nets if name not in rows]
        if not there:
            continue
        parts += [f"### {claim.title}", f"The document: {claim.says}", claim.found]
        parts.append(_pairs(there) if claim.pairs else _table(there, rows.get(claim.against or "")))
        parts.append(f"No run that stands yet: {', '.join(missing)}." if missing else "")
        parts.append(f"![{claim.title}](figures/{document}_{claim.picture}.png)" if claim.picture else "")
    heading = [
        "## Claims beyond the figures",
        "Differences are in points, seed by seed where there are enough pairs; p by all changes of sign of the "
        "pairs (or all divisions into two groups), which with fewer than six of each cannot tell them apart; where "
        "each net is compared with each, p is corrected over all comparisons that have so many (Holm).",
    ]
    return [*heading, *(part for part in parts if part)] if parts else []


def _table(rows: Sequence[Row], base: Row | None) -> str:
    head = ["experiment", "what it is", "parameters", "accuracy", "min–max", "n", "test loss", "training accuracy"]
    lines = [head + ([f"from {base.entry.name}", *WORDS[1:]] if base else [])]
    for row in rows:
        test = row.spread("test/acc").in_percent
        lines.append([
            row.entry.name, row.entry.probe or "the document's", f"{row.parameters:,}", test.text(2), test.range(2),
            str(test.n), row.spread("test/loss").text(4), row.spread("train/acc").in_percent.text(2),
            *_against(base, row),
        ])  # fmt: skip
    return markdown_table(lines)


def _against(base: Row | None, row: Row) -> list[str]:
    """Empty cells for the base itself."""
    if base is None or base is row:
        return [] if base is None else [""] * len(WORDS)
    one = _difference(base, row)
    return words(one, one.p)


def _pairs(rows: Sequence[Row]) -> str:
    """Each with each; p corrected over those that have enough seeds."""
    found = {f"{b.entry.name} against {a.entry.name}": _difference(a, b) for a, b in combinations(rows, 2)}
    corrected = holm({name: one.p for name, one in found.items() if one.p is not None and one.enough})
    lines = [[name, one.size, *words(one, corrected.get(name))] for name, one in found.items()]
    return markdown_table([["", "n", *WORDS], *lines])


def _difference(a: Row, b: Row) -> Difference:
    """b - a."""
    x, y = (dict(zip([known(run.seed) for run in row.runs], row.accuracies, strict=True)) for row in (a, b))
    return Difference.of(x, y, IMAGES)


def words(one: Difference, p: float | None) -> list[str]:
    """By how much, its interval, and p."""
    low, high = (_signed(min(max(100 * end, -100), 100)) for end in one.interval) if one.interval else ("", "")
    interval = f"{low} to {high}" if one.interval else ""
    return [_signed(100 * one.value), interval, "too few" if p is None or not one.enough else f"{p:.3f}"]


def _signed(points: float) -> str:
    """Two digits; up to four, where fewer would hide on which side of zero it lies."""
    return next((text for digits in (2, 3, 4) if float(text := f"{points:+.{digits}f}")), "+0.00")
