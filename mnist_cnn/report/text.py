"""Tables and lines as plain text, as wide as the terminal, and as Markdown."""

import io
import shutil
import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

WORD = 9  # characters that are broken last: percentages, counts, sizes with their unit, most names
WITHOUT_TERMINAL = 200  # columns: a file or another program reads it, and nothing needs folding


def plain_table(lines: Sequence[Sequence[str]], below: Sequence[str] = ()) -> str:
    """The first line is the head; columns of numbers stand right.

    Where it is too wide for the terminal, columns that are the same in every row are named below it, dotted heads lose
    their groups, and cells fold, between words as far as that goes.

    Args:
        below: heads of columns whose cells then stand below those of the column before them.
    """
    if _width(_natural(lines)) <= terminal_width():
        return _drawn(lines, _natural(lines))
    head, *rest = lines
    same = [i for i in range(1, len(head)) if len(rest) > 1 and len({line[i] for line in rest}) == 1]
    shared = ", ".join(f"{head[i]} {rest[0][i]}" for i in same if rest[0][i])
    moved = [i for i in range(1, len(head)) if head[i] in below and i not in same and i - 1 not in same]
    kept = [i for i in range(len(head)) if i not in [*same, *moved]]
    narrow = [[f"{line[i]}\n{line[i + 1]}" if i + 1 in moved else line[i] for i in kept] for line in lines]
    leaves = [name.rpartition(".")[2] for name in narrow[0]]
    narrow[0] = [leaf if leaves.count(leaf) == 1 else name for leaf, name in zip(leaves, narrow[0], strict=True)]
    widths = _natural(narrow)
    longest = [max(len(word) for line in narrow for word in line[i].split() or [""]) for i in range(len(kept))]
    short = [max(len(line[i]) if len(line[i]) <= WORD else 0 for line in narrow) for i in range(len(kept))]
    whole = [max(pair) for pair in zip(longest, short, strict=True)]
    for least in (whole, [min(width, WORD) for width in whole], [min(width, WORD) for width in longest]):
        while _width(widths) > terminal_width() and any(
            w > at_least for w, at_least in zip(widths, least, strict=True)
        ):
            widest = max((i for i in range(len(kept)) if widths[i] > least[i]), key=lambda i: widths[i])
            widths[widest] -= 1
    return _drawn(narrow, widths) + (f"\n\n{wrapped(f'in every row: {shared}')}" if shared else "")


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """The first line is the head."""
    head, *rest = lines
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rest])


def start_table(facts: dict[str, str]) -> str:
    """Names and what there is to say of them; a command stays in one line, so that it can be copied."""
    indent = max(map(len, facts)) + 2
    return "\n".join(name.ljust(indent) + wrapped(value, indent) for name, value in facts.items())


def wrapped(text: str, indent: int = 0) -> str:
    """In lines as wide as the terminal, broken between words, each but the first indented; a command in one line."""
    width = max(20, terminal_width() - indent)
    if len(text) <= width:
        return text
    before, sign, command = text.partition("python -m ")
    lines = textwrap.wrap(before, width, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join([*lines, sign + command] if sign else lines)


def text_grid(*columns: str, right: Sequence[int] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i in right else "left", overflow="fold")
    return table


def as_text(table: Table, width: int = WITHOUT_TERMINAL) -> str:
    target = io.StringIO()
    Console(file=target, width=width, color_system=None, force_jupyter=False).print(table)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines() if line.strip())


def terminal_width() -> int:
    """Columns of the terminal, or what COLUMNS says."""
    return shutil.get_terminal_size((WITHOUT_TERMINAL, 24)).columns


def _natural(lines: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column whose cells do not fold."""
    return [max(len(part) for cell in column for part in cell.split("\n")) for column in zip(*lines, strict=True)]


def _width(widths: Sequence[int]) -> int:
    """Of a table with such columns: two blanks between them, one at each edge."""
    return sum(widths) + 2 * len(widths)


def _drawn(lines: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    head, *rest = lines
    right = [i for i in range(len(head)) if rest and all(not line[i] or line[i][0] in "0123456789(" for line in rest)]
    table = text_grid(*head, right=right)
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width
    for line in rest:
        table.add_row(*line)
    return as_text(table, max(terminal_width(), _width(widths)))


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Rounded to what a person asks for: `80 s`, `42 min`, `5.5 h`, `12 d`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} d"
