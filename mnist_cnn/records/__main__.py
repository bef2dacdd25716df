"""Runs what is missing of the records and of what was measured while choosing, and writes the book."""

if __name__ == "__main__":  # before the imports, which take seconds, and make tensors
    from mnist_cnn.signals import leave_at_once
    from mnist_cnn.speed import huge_pages

    leave_at_once()

    from mnist_cnn.cli import usage_at_once
    from mnist_cnn.records.usage import usage

    usage_at_once(usage())
    huge_pages.ask_for()

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_cnn import cli
from mnist_cnn.config.tiny import is_tiny
from mnist_cnn.errors import RunError
from mnist_cnn.files import require_folder
from mnist_cnn.records.answers import keep_answers
from mnist_cnn.records.book import write_book
from mnist_cnn.records.entries import wanted
from mnist_cnn.records.usage import usage
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.running import run_what_is_left
from mnist_cnn.values import Count, PathName


@dataclass(frozen=True)
class Options:
    """What the command line may say; see usage.py."""

    seeds: int | None = None
    jobs: int = 1
    run_root: Path = Path("runs/records")
    results: Path = Path("results")
    book: Path = Path("docs/records")
    dry_run: bool = False


FOLDERS = ("run_root", "results", "book")
TYPES: dict[str, Any] = {"seeds": Count, "jobs": Count, "dry_run": bool, **dict.fromkeys(FOLDERS, PathName)}


def run(names: Sequence[str], options: Options) -> int:
    """Returns how many runs failed."""
    results = Results(options.results / "records")
    runs = wanted(names, options.seeds)
    missing = [one for one in runs if results.of(one) is None]
    failed = run_what_is_left(runs, missing, results, options.run_root, options.jobs, options.dry_run)
    if failed is None:
        return 0
    keep_answers(runs, results, options.run_root)
    write_book(options.results, options.book)
    print(f"book: {options.book}")
    return failed


def parse(arguments: Sequence[str]) -> tuple[list[str], Options]:
    """Names and `key=value` options.

    Raises:
        ConfigError: an unknown option or a value that does not fit.
    """
    names, given = cli.read_options(arguments, TYPES)
    if is_tiny():  # its figures must not come among the kept ones
        given = {key: f"runs/tiny/{key}" for key in FOLDERS} | given | {"seeds": 1}
    folders: dict[str, Any] = {key: Path(given[key]) for key in FOLDERS if key in given}
    for folder in folders.values():
        require_folder(folder, RunError)
    return names, Options(**(given | folders))


def main() -> None:
    with cli.user_errors(trains=True):
        names, options = parse(cli.arguments(usage()))
        if names == ["book"]:
            write_book(options.results, options.book)
            print(f"book: {options.book}")
        elif run(names, options):
            sys.exit(1)


if __name__ == "__main__":
    main()
