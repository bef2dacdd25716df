"""What runs answered to single test images, kept beside their records, and whether it agrees with these."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mnist_cnn.runs.record import Record

MISSED = "missed"  # folders beside records: the test images that each run got wrong,
SHIFTED = "shifted"  # that it got wrong by the mean of nine views of each image,
ENSEMBLES = "ensembles"  # and that several runs got wrong by the mean of what they said
KINDS = (MISSED, SHIFTED, ENSEMBLES)
COLUMNS = ["image", "label", "predicted"]
MEMBERS = re.compile(r"seeds_(\d+)_(\d+)")


def read_answers(file: Path) -> list[dict[str, int]]:
    """The columns of kept answers, a row for each image that was got wrong; or of a run's predictions, one for each."""
    with file.open(encoding="utf-8") as opened:
        return [{name: int(row[name]) for name in COLUMNS} for row in csv.DictReader(opened)]


def records_of(file: Path) -> list[Path]:
    """The records of the runs whose answers a file holds; of an ensemble's, `seeds_FIRST_LAST.csv`, several."""
    folder = file.parent.parent
    if members := MEMBERS.fullmatch(file.stem):
        return [folder / f"seed_{seed}.json" for seed in range(int(members[1]), int(members[2]) + 1)]
    return [folder / f"{file.stem}.json"]


def disagreements(file: Path, records: list[Record]) -> Iterator[str]:
    """Reasons why kept answers are not those of the runs whose records lie beside them."""
    rows = read_answers(file)
    if file.parent.name == MISSED:
        told = Counter((row["label"], row["predicted"]) for row in rows)
        matrix = records[0].confusion or []
        wrong = {(i, j): count for i, line in enumerate(matrix) for j, count in enumerate(line) if count and i != j}
        if told != wrong:
            yield "not what the confusion matrix of the record beside it counts"
    elif file.parent.name == ENSEMBLES:
        missed = [file.parent.parent / MISSED / f"{record.stem}.csv" for record in records_of(file)]
        if not all(one.is_file() for one in missed):
            yield "the answers of its members are not beside it"
            return
        alone = [{tuple(row.values()) for row in read_answers(one)} for one in missed]
        together = {tuple(row.values()) for row in rows}
        if not set.intersection(*alone) <= together:  # where all say the same, so does the mean
            yield "right where all its members say the same wrong class"
        if not {row[0] for row in together} <= {row[0] for row in set.union(*alone)}:
            yield "wrong where all its members are right"
