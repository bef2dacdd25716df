"""Tables as plain text and Markdown."""

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def plain_table(lines: Sequence[Sequence[str]]) -> str:
    """The first line is the head; columns of numbers stand right."""
    head, *rest = lines
    right = [i for i in range(len(head)) if rest and all(not line[i] or line[i][0] in "0123456789(" for line in rest)]
    table = text_grid(*head, right=right)
    for line in rest:
        table.add_row(*line)
    return as_text(table)


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """The first line is the head."""
    head, *rest = lines
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rest])


def start_table(facts: dict[str, str]) -> str:
    """Names and what there is to say of them."""
    table = text_grid("", "", header=False)
    for name, value in facts.items():
        table.add_row(name, value)
    return as_text(table)


def text_grid(*columns: str, right: Sequence[int] = (), header: bool = True) -> Table:
    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=header, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i in right else "left", no_wrap=True, overflow="ignore")
    return table


def as_text(table: Table) -> str:
    target = io.StringIO()
    Console(file=target, width=200, color_system=None, force_jupyter=False).print(table)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines() if line.strip())


def duration(seconds: float) -> str:
    """Rounded to what a person asks for: `80 s`, `42 min`, `5.5 h`, `12 d`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} d"
