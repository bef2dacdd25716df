"""What a comparison of two sides found: differences of their figures, a verdict on one of them, and the table."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mnist_cnn.compare.images import SameImages
from mnist_cnn.compare.sides import Side
from mnist_cnn.report.difference import ENOUGH, MANY, Difference
from mnist_cnn.report.text import plain_table

WIDTH = 80
EXPLAINED = "Seeds needed: of each, for p < 0.05 in 80 % of attempts, were the difference as found here."

TOO_FEW = f"So few seeds cannot tell them apart: it takes {ENOUGH} pairs, since of five no p is below 2/32."


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two sides, compared by `figure`; all differences are B - A.

    Args:
        differences: of `figure`, and beside it the same of the other images where both sides have it.
        same_images: of two single runs that kept their predictions; of an accuracy.
        notes: what a reader must know before believing it.
    """

    a: Side
    b: Side
    figure: str
    differences: dict[str, Difference]
    same_images: SameImages | None
    notes: list[str]

    @property
    def judged(self) -> Difference:
        return self.differences[self.figure]

    @property
    def difference(self) -> float:
        """Accuracies in [0, 1]."""
        return self.judged.value

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %; None for single runs."""
        return self.judged.interval

    @property
    def p(self) -> float | None:
        """Of the permutation test over seeds, two-sided; None for single runs."""
        return self.judged.p

    @property
    def pairs(self) -> int | None:
        """Seeds in common; None where the two groups are compared as such."""
        return self.judged.a.n if self.judged.paired else None

    @property
    def seeds_needed(self) -> int | None:
        """See `Difference`."""
        return self.judged.seeds_needed

    @property
    def winner(self) -> str | None:
        """`A` or `B`; None where they cannot be told apart, or where there are too few seeds to say."""
        if not self.judged.found or self._higher_is_better is None:
            return None
        return "B" if (self.difference > 0) == self._higher_is_better else "A"

    @property
    def _higher_is_better(self) -> bool | None:
        """What the runs followed says so itself, and what they measured besides; of other figures their names do."""
        record, metric = self.a.first, self.figure.partition("/")[2]
        if record.monitor is not None and metric == record.monitor.partition("/")[2]:
            return record.mode == "max"
        said = record.higher_is_better or {}
        if (name := re.sub(r"_\d+$", "", metric)) in said or (name := metric) in said:
            return said[name]
        return not any(word in metric for word in ("loss", "error", "ece"))

    @property
    def verdict(self) -> str:
        found, p = self.judged, "" if self.p is None else f", p = {self.p:.2g}"
        if self.winner:
            return f"{self.winner} is better on {self.figure} ({found.size}{p})."
        if found.found:
            return f"A and B differ on {self.figure} ({found.size}{p}); which is better it does not say."
        if not found.enough:
            least = f"{ENOUGH} pairs" if found.paired else f"{ENOUGH} runs of each"
            return f"No winner is called on {self.figure}: {found.size}{p}, and it takes at least {least}."
        return f"A and B cannot be told apart on {self.figure} ({found.size}{p})."

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        sides = {key: {"name": side.name, "model": side.first.model, "seeds": sorted(side.runs)}
                 for key, side in (("a", self.a), ("b", self.b))}  # fmt: skip
        images = asdict(self.same_images) if self.same_images else None
        differences = {name: asdict(found) for name, found in self.differences.items()}
        return sides | {
            "figure": self.figure, "differences": differences, "same_images": images,
            "winner": self.winner, "verdict": self.verdict, "notes": self.notes,
        }  # fmt: skip

    def __repr__(self) -> str:
        return str(self)  # what a notebook shows

    def __str__(self) -> str:
        """The table, in 80 columns where the names of the sides allow it."""
        columns = [_column(name, found) for name, found in self.differences.items()]
        head = ["", "A", "B", "B - A", "95 % interval", "p", "seeds needed"]
        explained = [EXPLAINED] if self.seeds_needed else []
        images = [_of_images(self.same_images, self.figure)] if self.same_images else []
        lines = [self.verdict, *explained, *images, *self.notes]
        return "\n".join(
            [
                _wrapped(f"A  {self.a.about()}", "   "),
                _wrapped(f"B  {self.b.about()}", "   "),
                "",
                plain_table([list(row) for row in zip(head, *columns, strict=True) if any(row[1:])]),
                "",
                *(_wrapped(line) for line in lines),
            ]
        )


def _column(figure: str, found: Difference) -> list[str]:
    """Cells of a figure, from its head down."""
    percent = figure.endswith("/acc")
    digits, unit = (3, " %") if percent else (4, "")
    means = [(side.in_percent if percent else side).text(digits, unit) for side in (found.a, found.b)]
    return [figure, *means, *_cells(figure, found)]


def _cells(figure: str, found: Difference) -> list[str]:
    """Difference, interval, p and seeds needed."""
    scale, digits = (100, 3) if figure.endswith("/acc") else (1, 4)
    ends = "" if found.interval is None else " to ".join(f"{scale * end:+.{digits}f}" for end in found.interval)
    if found.p is None:
        return [f"{scale * found.value:+.{digits}f}", ends, "", ""]
    many = f"above {MANY:,}" if found.value else ""
    needed = many if found.seeds_needed is None else str(found.seeds_needed)
    return [f"{scale * found.value:+.{digits}f}", ends, f"{found.p:.2g}", needed]


def settings_table(found: Sequence[Comparison]) -> str:
    """The best setting of a sweep against each of the others, a row each."""
    rows = [["B", "B - A", "95 % interval", "p", "seeds needed", "told apart"]]
    for each in found:
        verdict = "yes" if each.winner else "no" if each.judged.enough else each.judged.size
        images = f", images: p {each.same_images.p:.2g}" if each.same_images else ""
        rows.append([each.b.name, *_cells(each.figure, each.judged), verdict + images])
    room = WIDTH - sum(max(map(len, column)) + 3 for column in list(zip(*rows, strict=True))[1:])
    named: list[str] = []
    if any(len(row[0]) > room for row in rows):  # numbers in the table, names below it
        named = [f"{number}  {row[0]}" for number, row in enumerate(rows[1:], 1)] + [""]
        rows = [rows[0], *([str(number), *row[1:]] for number, row in enumerate(rows[1:], 1))]
    notes = dict.fromkeys(note for each in found for note in each.notes)
    unit = ", in percent" if found[0].figure.endswith("/acc") else ""
    explained = [] if all(each.judged.enough for each in found) else [TOO_FEW]
    explained += [EXPLAINED] if any(each.seeds_needed for each in found) else []
    best = f"A  {found[0].a.about()}; the best by validation"
    lines = [*named, f"On {found[0].figure}{unit}; each row is a test of its own.", *explained, *notes]
    return "\n".join([_wrapped(best, "   "), "", plain_table(rows), "", *map(_wrapped, lines)])


def _of_images(same: SameImages, figure: str) -> str:
    p = f"= {same.p:.3g}" if same.p else "< 1e-300"  # too small for a float
    return (
        f"The same images ({figure.partition('/')[0]}): A alone is right on {same.only_a}, B alone on {same.only_b}; "
        f"McNemar's exact p {p}. That is of these two nets; other seeds may turn it round."
    )


def _wrapped(line: str, indent: str = "") -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
