"""Every format of trained runs, measured on the test images: the table of docs/export.md.

python scripts/measure_exports.py RUN_DIRECTORY ...
"""

import sys
from collections import defaultdict
from pathlib import Path

from omegaconf import OmegaConf

from mnist_cnn.demo import SETTINGS
from mnist_cnn.errors import UserError
from mnist_cnn.export.__main__ import KINDS
from mnist_cnn.export.made import Measured, measure
from mnist_cnn.export.source import find_source
from mnist_cnn.report.spread import Spread

FORMS = [("onnx", "float32"), ("torch", "float32"), ("c", "float32"), ("c", "int8"), ("web", "float32")]
HEAD = ["net", "runs", "format", "bytes", "answers that differ", "logits, at most", "accuracy", "points lost"]


def main() -> None:
    runs = sys.argv[1:]
    if not runs:
        sys.exit(f"usage: {__doc__.splitlines()[-2]}" if __doc__ else 2)
    found: dict[tuple[str, str], list[tuple[int, Measured]]] = defaultdict(list)
    refused: dict[tuple[str, str], str] = {}
    for run in runs:
        source = find_source(OmegaConf.create(dict.fromkeys(SETTINGS) | {"run_dir": str(Path(run))}), SETTINGS)
        for name, precision in FORMS:
            form = name if precision == "float32" else f"{name} {precision}"
            try:
                made = KINDS[name].make(source, precision)
            except UserError as error:
                refused[source.name, form] = str(error)
                continue
            if made.logits is None:
                sys.exit(f"format={name}: {made.measured_by}")
            size = sum(len(content) for content in made.files.values()) // (2 if name == "onnx" else 1)
            found[source.name, form].append((size, measure(source, made.logits)))
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for (net, form), rows in found.items():
        several = [measured for _, measured in rows]
        cells = [
            f"`{net}`", str(len(rows)), form, f"{max(size for size, _ in rows):,}",
            ", ".join(str(m.differ) for m in several), f"{max(m.distance for m in several):.1g}",
            Spread.of([m.correct / m.images for m in several]).in_percent.text(3, " %"),
            f"{Spread.of([(m.correct_before - m.correct) / m.images for m in several]).in_percent.mean:.3f}",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")
    for (_, form), words in refused.items():
        print(f"\n{form} refuses: `{words}`")


if __name__ == "__main__":
    main()
