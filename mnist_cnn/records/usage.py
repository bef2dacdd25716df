"""What `python -m mnist_cnn.records --help` prints, in a file that imports next to nothing."""

import textwrap
from pathlib import Path

import yaml

TEXT = """\
Runs the records that are missing from the results, ten fresh seeds of each,
and writes the book: docs/records/README.md.

  python -m mnist_cnn.records                        all: many hours
  python -m mnist_cnn.records under_8k               the records of a size
  python -m mnist_cnn.records 3 seeds=6              one of them, by its number
  python -m mnist_cnn.records {ablation}                    what was measured while
                                                     choosing, on validation
  python -m mnist_cnn.records fashion_mnist          some on other images
  python -m mnist_cnn.records book                   the book alone

  seeds=N              the first so many of each
  jobs=N               runs side by side (default 1), each with one thread
  run_root=FOLDER      where runs go (default runs/records)
  results=FOLDER       where figures are kept (default results)
  book=FOLDER          where the book goes (default docs/records)
  dry_run=true         only check and say what would run

{budgets}
It can be stopped and started again, as python -m mnist_cnn.reproduce."""


def usage() -> str:
    tree = yaml.safe_load(Path(__file__).with_name("records.yaml").read_text(encoding="utf-8"))
    budgets = textwrap.fill(f"Sizes: {', '.join(tree['budgets'])}", 80, subsequent_indent="  ")
    return TEXT.format(budgets=budgets, ablation=next(iter(tree["ablations"])))
