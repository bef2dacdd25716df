"""Answers as text, JSON, CSV, and as a picture of each with what the net saw."""

import csv
import io
import json
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from mnist_cnn.models.answers import Reading
from mnist_cnn.predict.answers import THUMBNAIL, Answer

COLUMNS = (
    "picture", "line", "place", "digit", "probability", "second", "second_probability", "warnings", "box",
)  # fmt: skip
CELL = (2 * THUMBNAIL + 24, THUMBNAIL + 56)  # pixels
ACROSS = 5
LETTERS = 34  # of a line of a cell
LETTERING = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # Pillow's own has no letters with accents


def as_text(answers: Sequence[Answer], names: Sequence[str], several: bool) -> str:
    if several:
        return "\n".join(line for answer in answers for line in _lines(answer, names))
    rows = [(answer.name, answer.readings[0]) for answer in answers if answer.readings]
    wide = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{wide}}  {_words(reading, names)}".rstrip() for name, reading in rows)


def as_json(answers: Sequence[Answer], names: Sequence[str]) -> str:
    return json.dumps([row | {"box": list(row["box"])} for row in _rows(answers, names)], indent=1)


def as_csv(answers: Sequence[Answer], names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _rows(answers, names):
        box = " ".join(map(str, row["box"]))
        writer.writerow(row | {"warnings": "; ".join(row["warnings"]), "box": box})
    return text.getvalue().rstrip("\n")


def as_sheet(answers: Sequence[Answer], names: Sequence[str]) -> Image.Image:
    """A cell for each digit: the picture, what the net saw, the answer."""
    cells = [(answer, reading) for answer in answers for reading in answer.readings]
    rows = -(-max(1, len(cells)) // ACROSS)
    sheet = Image.new("RGB", (CELL[0] * min(ACROSS, max(1, len(cells))), CELL[1] * rows), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = (ImageFont.truetype(LETTERING, size) for size in (15, 10))
    for index, (answer, reading) in enumerate(cells):
        x, y = index % ACROSS * CELL[0] + 8, index // ACROSS * CELL[1] + 8
        if answer.thumbnail is not None:
            sheet.paste(answer.thumbnail, (x, y))
        seen = Image.fromarray(reading.image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.NEAREST)
        sheet.paste(seen, (x + THUMBNAIL + 4, y))
        draw.text((x, y + THUMBNAIL + 2), _short(reading, names), "black", large)
        draw.text((x, y + THUMBNAIL + 20), answer.name[-LETTERS:], "dimgrey", small)
        warned = textwrap.shorten("; ".join(reading.warnings), LETTERS + 4, placeholder=" …")
        draw.text((x, y + THUMBNAIL + 32), warned, "firebrick", small)
    return sheet


def _rows(answers: Sequence[Answer], names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "picture": answer.name,
            "line": line,
            "place": place,
            "digit": _name(reading.digit, names),
            "probability": round(reading.probability, 6),
            "second": _name(reading.second, names),
            "second_probability": round(reading.second_probability, 6),
            "warnings": list(reading.warnings),
            "box": reading.box,
        }
        for answer in answers
        for reading, (line, place) in zip(answer.readings, answer.lines, strict=True)
    ]


def _lines(answer: Answer, names: Sequence[str]) -> list[str]:
    """The digits of each line of a picture, and below them those that are not sure."""
    if answer.problem:
        return []
    if not answer.readings:
        return [f"{answer.name}: no ink was found"]
    placed = list(zip(answer.lines, answer.readings, strict=True))
    gap = "" if all(len(name) == 1 for name in names) else " "
    written = [
        gap.join(_name(reading.digit, names) or "?" for _, reading in line)
        for _, line in groupby(placed, key=lambda each: each[0][0])
    ]
    unsure = [
        f"  line {line}, {place}: {_words(reading, names)}" for (line, place), reading in placed if reading.warnings
    ]
    return [f"{answer.name}:", *(f"  {text}" for text in written), *unsure]


def _words(reading: Reading, names: Sequence[str]) -> str:
    warned = f"  warning: {'; '.join(reading.warnings)}" if reading.warnings else ""
    if reading.digit < 0:
        return f"-{warned}"
    second = f"then {_name(reading.second, names)} {reading.second_probability:6.2%}"
    return f"{_short(reading, names)}  {second}{warned}"


def _short(reading: Reading, names: Sequence[str]) -> str:
    return f"{_name(reading.digit, names) or '-'}  {reading.probability:7.2%}"


def _name(digit: int, names: Sequence[str]) -> str:
    return names[digit] if digit >= 0 else ""
