"""Runs the documents' experiments, what is missing of them, and writes the page that compares them."""

if __name__ == "__main__":  # before the imports, which take seconds, and make tensors
    from mnist_cnn.signals import leave_at_once
    from mnist_cnn.speed import huge_pages

    leave_at_once()

    from mnist_cnn.cli import usage_at_once
    from mnist_cnn.reproduce.usage import usage

    usage_at_once(usage())
    huge_pages.ask_for()

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnist_cnn import cli
from mnist_cnn.config.tiny import is_tiny
from mnist_cnn.errors import RunError
from mnist_cnn.files import require_folder
from mnist_cnn.reproduce.check import changed_pages, differences, provenance, short_entries
from mnist_cnn.reproduce.pages import write_pages
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.running import run_missing, run_what_is_left
from mnist_cnn.reproduce.study import chosen, documents, plan
from mnist_cnn.reproduce.usage import usage
from mnist_cnn.signals import stopping
from mnist_cnn.sweep.jobs import GO_ON
from mnist_cnn.values import Count, PathName


@dataclass(frozen=True)
class Options:
    """What the command line may say; see usage.py."""

    seeds: int | None = None
    jobs: int = 1
    protocol: str | None = None
    run_root: Path = Path("runs/reproduction")
    results: Path = Path("results/reproduction")
    pages: Path = Path("docs/reproduction")
    dry_run: bool = False


TYPES: dict[str, Any] = {
    "seeds": Count, "jobs": Count, "protocol": Literal["document", "holdout"], "run_root": PathName,
    "results": PathName, "pages": PathName, "dry_run": bool,
}  # fmt: skip


def reproduce(names: Sequence[str], options: Options) -> int:
    """Runs what is missing of the named documents and experiments; returns how many runs failed."""
    runs = plan(chosen(names, documents()), options.seeds, options.protocol)
    results = Results(options.results)
    missing = [run for run in runs if results.of(run) is None]
    missing.sort(key=lambda run: not results.superseded(run))
    failed = run_what_is_left(runs, missing, results, options.run_root, options.jobs, options.dry_run)
    if failed is None:
        return 0
    write_pages(documents(), results, options.pages)
    print(f"pages: {options.pages}")
    return failed


def rebuild(options: Options) -> int:
    write_pages(documents(), Results(options.results), options.pages)
    print(f"pages: {options.pages}")
    return 0


def check(options: Options) -> int:
    """Returns how many things do not stand; what short runs have not been recorded yet is."""
    found = [f"{file}: {reason}" for file, reasons in provenance().items() for reason in reasons]
    found += changed_pages(documents(), Results(options.results), options.pages)
    runs = plan(short_entries(documents()), 3, "document")
    kept = Results(options.results.parent / "check")
    with stopping(lambda: GO_ON.format("the same command")), tempfile.TemporaryDirectory() as folder:
        missing = [run for run in runs if kept.of(run) is None]
        failed = run_missing(missing, kept, options.run_root / "check", options.jobs) if missing else 0
        fresh = Results(Path(folder) / "results")
        failed += run_missing([run for run in runs if run.seed == 1], fresh, Path(folder) / "runs", options.jobs)
        found += differences(runs, kept, fresh)
    print(*found, f"{len(found) + failed} problems", sep="\n")
    return len(found) + failed


COMMANDS = {"pages": rebuild, "check": check}


def parse(arguments: Sequence[str]) -> tuple[list[str], Options]:
    """Names and `key=value` options.

    Raises:
        ConfigError: an unknown option or a value that does not fit.
    """
    names, given = cli.read_options(arguments, TYPES)
    if is_tiny():  # its figures must not come among the kept ones
        apart = {key: f"runs/tiny/{key}" for key in ("run_root", "results", "pages")}
        given = apart | given | {"seeds": 1}
    folders: dict[str, Any] = {key: Path(given[key]) for key in ("run_root", "results", "pages") if key in given}
    for folder in folders.values():
        require_folder(folder, RunError)
    return names, Options(**(given | folders))


def main() -> None:
    with cli.user_errors(trains=True):
        given = cli.arguments(usage())
        names, options = parse(given)
        command = COMMANDS.get(names[0]) if len(names) == 1 else None
        if command(options) if command else reproduce(names, options):
            sys.exit(1)


if __name__ == "__main__":
    main()
