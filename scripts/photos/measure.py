"""How well a net reads photo-like pictures, with and without preparation: the table of docs/predict.md.

    python scripts/photos/measure.py                                    # validation digits: for developing
    python scripts/photos/measure.py split=test out=docs/predict     # test digits: once, at the end

Each picture is drawn from a seed of its own, so a share of them is the same pictures. With scikit-learn installed
(`pip install --no-deps --target FOLDER scikit-learn` and `PYTHONPATH=FOLDER` do), also its 1,797 digits of other
writers (8 x 8 pixels). `run_dir=gap,runs/other` names other nets, which read the same pictures, `only='mild set'` a
set. `out=` is a folder for the raw counts; they are written by one reading of all sets, on a commit without changes.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from photographs import ALONE, LEVELS, photograph
from PIL import Image

import mnist_cnn as mc
from mnist_cnn.data.photo import Prepared, prepare_photo
from mnist_cnn.data.picture import prepared, to_grey
from mnist_cnn.models.answers import read_prepared
from mnist_cnn.report.text import markdown_table

SEED = 24
SETS = {**{f"{name} set": level for name, level in LEVELS.items()}, **ALONE}
SHARES = {"mild set": 0.5, "medium set": 0.1, "hard set": 0.1}  # of 10,000 digits
LARGE = {"2,000 pixels": 0.005, "small on the page": 0.02}  # pictures that take long to draw
ALONE_SHARE = 0.03
WAYS = ("prepared", "resized", "turned")


def three_ways(pixels: np.ndarray) -> dict[str, Prepared]:
    """As `predict` does; the whole picture scaled; and that, turned round where its border is light."""
    grey = to_grey(Image.fromarray(pixels))
    whole = prepared(grey, "resize").image
    border = np.concatenate([whole[0], whole[-1], whole[:, 0], whole[:, -1]])
    turned = 255 - whole if np.median(border) > 127 else whole
    box = (0, 0, *pixels.shape[:2])
    return {
        "prepared": prepare_photo(np.asarray(grey)),
        "resized": Prepared(whole, "as it is", box),
        "turned": Prepared(turned, "as it is", box),
    }


def drawn(digits: np.ndarray, name: str, indices: list[int]) -> list[dict[str, Prepared]]:
    number = list(SETS).index(name)
    found = (photograph(digits[i], SETS[name], np.random.default_rng([SEED, number, i])).pixels for i in indices)
    return [three_ways(pixels) for pixels in found]


def judged(net: Any, pictures: list[dict[str, Prepared]], labels: np.ndarray) -> dict[str, Any]:
    """Counts: of pictures, of right answers by each way, of wrong and right ones that were warned of."""
    found: dict[str, Any] = {"pictures": len(labels)}
    for way in (way for way in WAYS if way in pictures[0]):
        answers = read_prepared(net, net.scale, [each[way] for each in pictures])
        right = np.array([answer.digit for answer in answers]) == labels
        found[way] = int(right.sum())
        if way == "prepared":
            warned = np.array([bool(answer.warnings) for answer in answers])
            found["warned_right"], found["warned_wrong"] = int((warned & right).sum()), int((warned & ~right).sum())
    return found


def others() -> tuple[list[np.ndarray], np.ndarray] | None:
    """The digits that come with scikit-learn, as 8 x 8 pictures of 17 shades, white on black; None without it.

    From its file: importing it takes packages that nothing here needs.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        return None
    table = np.loadtxt(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    images = (table[:, :-1].reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8)
    return [np.repeat(image[..., None], 3, 2) for image in images], table[:, -1].astype(np.int64)


def main() -> None:
    settings = dict(text.split("=", 1) for text in sys.argv[1:])
    split, share = settings.get("split", "val"), float(settings.get("share", 1))
    names = settings.get("run_dir", "gap").split(",")
    only = settings["only"].split(",") if "only" in settings else list(SETS)
    commit = clean_commit() if "out" in settings else None
    torch.set_num_threads(1)
    nets = {name: mc.load(name) for name in names}
    rows: dict[str, dict[str, Any]] = {name: {} for name in names}
    for each, pictures, labels in readings(split, share, int(settings.get("jobs", os.cpu_count() or 1)), only):
        for name, net in nets.items():
            rows[name][each] = judged(net, pictures, labels)
            print(each, name, rows[name][each], flush=True)
    for name in names:
        if commit is not None and only == list(SETS):
            kept = Path(settings["out"]) / f"{Path(name).name}_{split}.json"
            kept.parent.mkdir(parents=True, exist_ok=True)
            read = {"net": name, "split": split, "seed": SEED, "share": share, "commit": commit, "sets": rows[name]}
            kept.write_text(json.dumps(read, indent=1) + "\n")
        print(f"{name}\n{table(rows[name])}")


def clean_commit() -> str:
    """Raises SystemExit where the code that reads is not what is committed."""
    commit, changes = (
        subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
    )
    if changes:
        raise SystemExit(f"error: out= needs a commit without changes, and there are some:\n{changes}")
    return commit


def readings(
    split: str, share: float, jobs: int, only: list[str]
) -> Iterator[tuple[str, list[dict[str, Prepared]], np.ndarray]]:
    """The pictures of each set, in all ways, and their labels; first the digits as they are, last scikit-learn's."""
    data = mc.MNISTDataModule()
    data.setup("test" if split == "test" else "fit")
    digits, labels = data.splits[split].images.numpy()[:, 0], data.splits[split].labels.numpy()
    box = (0, 0, *digits.shape[1:])
    yield "the digits themselves", [{"resized": Prepared(digit, "as it is", box)} for digit in digits], labels
    with ProcessPoolExecutor(jobs) as pool:
        for each in only:
            part = SHARES.get(each, LARGE.get(each, ALONE_SHARE)) * share
            count = min(len(labels), round(10_000 * part))
            parts = [list(range(start, min(start + 50, count))) for start in range(0, count, 50)]
            yield each, [p for made in pool.map(partial(drawn, digits, each), parts) for p in made], labels[:count]
    if split == "test" and (found := others()) is not None:
        yield "scikit-learn's 1,797 digits", [three_ways(each) for each in found[0]], found[1]


def table(rows: dict[str, Any]) -> str:
    head = [
        "pictures",
        "n",
        "prepared",
        "resized",
        "resized, turned round",
        "wrong and warned of",
        "right and warned of",
    ]
    lines = [head]
    for name, row in rows.items():
        count = row["pictures"]
        ways = [f"{row[way] / count:.2%}" if way in row else "" for way in WAYS]
        wrong = count - row["prepared"] if "prepared" in row else 0
        warned = (
            [f"{row['warned_wrong']} of {wrong}", f"{row['warned_right']} of {row['prepared']}"] if wrong else ["", ""]
        )
        lines.append([name, f"{count:,}", *ways, *warned])
    return markdown_table(lines)


if __name__ == "__main__":
    main()
