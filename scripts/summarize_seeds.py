"""Mean and spread over seeds of finished runs: one Markdown row per model and protocol.

python scripts/summarize_seeds.py results
"""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

HEADER = [
    "model", "parameters", "epochs", "protocol", "n", "validation accuracy", "test accuracy", "test min–max",
    "test loss", "images seen", "training seconds",
]  # fmt: skip


def rows(folders: list[Path]) -> list[list[str]]:
    """One row per group of finished runs that differ in nothing but the seed."""
    groups: dict[tuple, dict[int, dict]] = defaultdict(dict)
    for file in sorted(file for folder in folders for file in folder.rglob("*.json")):
        run = json.loads(file.read_text())
        if run.get("status") != "completed":
            print(f"left out, {run.get('status')}: {file}", file=sys.stderr)
            continue
        keys = ("model", "epochs", "precision", "test_weights", "config_digest")
        same = (run["protocol"]["summary"], run["parameters"]["trainable"], *(run.get(key) for key in keys))
        if run["seed"] in groups[same]:
            sys.exit(f"error: seed {run['seed']} twice with the same settings: {file}")
        groups[same][run["seed"]] = run
    return [row(list(runs.values())) for _, runs in sorted(groups.items(), key=lambda item: item[0])]


def row(runs: list[dict]) -> list[str]:
    first = runs[0]
    tests = [100 * run["figures"]["test/acc"] for run in runs]
    images = first["epochs"] * first["protocol"]["train_images"]
    return [
        first["model"],
        f"{first['parameters']['trainable']:,}",
        str(first["epochs"]),
        first["protocol"]["summary"],
        str(len(runs)),
        spread([100 * run["figures"]["val/acc"] for run in runs], 2, " %"),
        spread(tests, 3, " %"),
        f"{min(tests):.2f}–{max(tests):.2f} %",
        spread([run["figures"]["test/loss"] for run in runs], 4),
        f"{images:,}",
        spread([images / run["timing"]["images_per_second"] for run in runs], 1),
    ]


def spread(values: list[float], digits: int, unit: str = "") -> str:
    """Mean ± sample standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}{unit}" if len(values) > 1 else f"{mean}{unit}"


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:]]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing or not folders:
        sys.exit(f"error: no such folder: {', '.join(missing)}" if missing else f"usage: {__doc__}")
    table = [HEADER, ["---"] * len(HEADER), *rows(folders)]
    print("\n".join("| " + " | ".join(cells) + " |" for cells in table))


if __name__ == "__main__":
    main()
