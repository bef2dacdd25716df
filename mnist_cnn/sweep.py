"""Sums up a sweep again, finished or not: `python -m mnist_cnn.sweep <directory>`."""

import sys
from pathlib import Path

from mnist_cnn.cli import user_errors
from mnist_cnn.errors import ConfigError
from mnist_cnn.report.sweep import summarize
from mnist_cnn.sweeps import Sweep

USAGE = """\
Sums up a sweep, finished or not: every job, and mean and spread over seeds, best validation accuracy first.

  python -m mnist_cnn.sweep <directory>             test figures of what validation chose
  python -m mnist_cnn.sweep <directory> tests=all   of everything

Writes summary.csv, summary.md and summary.png into the directory."""


def main() -> None:
    with user_errors():
        arguments = sys.argv[1:]
        if not arguments or {"-h", "--help"} & set(arguments):
            print(USAGE)
            return
        folders = [argument for argument in arguments if not argument.startswith("tests=")]
        tests = [argument for argument in arguments if argument.startswith("tests=")]
        if len(folders) != 1 or tests not in ([], ["tests=all"], ["tests=chosen"]):
            raise ConfigError([f"{' '.join(arguments)}: needed: one sweep directory, and tests=all or tests=chosen"])
        print(summarize(Sweep.load(Path(folders[0]).resolve()), all_tests=tests == ["tests=all"]))


if __name__ == "__main__":
    main()
