"""Every format of trained runs, measured on the test images: the table of docs/export.md.

python scripts/measure_exports.py RUN_DIRECTORY ...
"""

from collections import defaultdict

from command_line import UsageError, read
from omegaconf import OmegaConf

from mnist_cnn.cli import user_errors
from mnist_cnn.demo.__main__ import SETTINGS
from mnist_cnn.errors import UserError
from mnist_cnn.export.__main__ import KINDS
from mnist_cnn.export.made import Measured, measure
from mnist_cnn.export.source import find_source
from mnist_cnn.report.spread import Spread

FORMS = [("onnx", "float32"), ("torch", "float32"), ("c", "float32"), ("c", "int8"), ("web", "float32")]
HEAD = ["net", "runs", "format", "bytes", "answers that differ", "logits by, at most", "accuracy", "points lost"]


def main() -> None:
    runs, _ = read(__doc__, {})
    if not runs:
        raise UsageError("name run directories, or gap")
    found: dict[tuple[str, str], list[tuple[int, Measured]]] = defaultdict(list)
    refused: dict[tuple[str, str], str] = {}
    for run in runs:
        source = find_source(OmegaConf.create(dict.fromkeys(SETTINGS) | {"run_dir": run}), SETTINGS)
        for name, precision in FORMS:
            form = name if precision == "float32" else f"{name} {precision}"
            try:
                made = KINDS[name].make(source, precision)
            except UserError as error:
                refused[source.name, form] = str(error)
                continue
            if made.logits is None:
                raise UserError(f"format={name}: {made.measured_by}")
            size = sum(len(content) for content in made.files.values()) // (2 if name == "onnx" else 1)
            found[source.name, form].append((size, measure(source, made.logits, made.measured_by)))
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
    with user_errors():
        main()
