"""Whether kept figures are what runs left: each file of one run, from clean code in git's history, never touched since.

What does not stand moves, by `git mv`, below `results/superseded` with its reasons beside it, and is not counted.
"""

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mnist_cnn.errors import RunError
from mnist_cnn.runs import answers
from mnist_cnn.runs.history import read_history
from mnist_cnn.runs.record import Record

FOLDER = "results"
SUPERSEDED = "superseded"
KINDS = (".json", ".csv")
SEED = re.compile(r"seed_?(\d+)$")


@dataclass
class Past:
    """What git knows of a file: its content when it was added, and the commits that changed it or put it back."""

    added: str
    changes: list[str] = field(default_factory=list)


def is_shallow(checkout: Path) -> bool:
    """Whether git has only the newest commits, or none: nothing can be said of a file's origin."""
    try:
        return _git(checkout, "rev-parse", "--is-shallow-repository") != "false"
    except (OSError, subprocess.CalledProcessError):
        return True


def unsound(checkout: Path) -> dict[str, list[str]]:
    """Why files under results/ do not stand, by path; those without a reason are left out.

    Raises:
        subprocess.CalledProcessError: not a checkout.
    """
    past, commits = _past(checkout), set(_git(checkout, "rev-list", "HEAD").split())
    files = [name for name in _git(checkout, "ls-files", "--", FOLDER).splitlines() if _counts(name)]
    now = dict(zip(files, _git(checkout, "hash-object", "--", *files).split(), strict=True)) if files else {}
    found = {}
    for name, content in now.items():
        reasons = [*_of_history(past.get(name), content), *_of_run(checkout / name, commits)]
        if reasons:
            found[name] = reasons
    return found


def is_superseded(file: Path, root: Path) -> bool:
    """Whether a file below `root` is kept for the record alone."""
    return SUPERSEDED in file.relative_to(root).parts


def _counts(name: str) -> bool:
    return name.endswith(KINDS) and not name.startswith(f"{FOLDER}/{SUPERSEDED}/")


def _of_history(past: Past | None, content: str) -> Iterator[str]:
    if past is None:
        return  # added, not yet committed
    if past.changes:
        yield f"changed or replaced after it was added, by commit {', '.join(past.changes)}"
    elif past.added != content:
        yield "changed after it was added, not committed"


def _of_run(file: Path, commits: set[str]) -> Iterator[str]:
    kept_answers = file.parent.name in answers.KINDS
    record_files = answers.records_of(file) if kept_answers else [file.with_suffix(".json")]
    if not all(record.is_file() for record in record_files):
        yield "no record beside it"
        return
    try:
        records = [Record.load(record) for record in record_files]
        for record in records:
            yield from _of_code(record, commits)
        yield from answers.disagreements(file, records) if kept_answers else _of_figures(records[0], file)
    except RunError as error:
        yield str(error)


def _of_code(record: Record, commits: set[str]) -> Iterator[str]:
    if record.git is None:
        yield "its commit is not recorded"
    elif record.git.dirty:
        yield f"run by code that was not committed, beside commit {record.git.commit[:7]}"
    elif record.git.commit not in commits:
        yield f"its commit {record.git.commit[:7]} is not in the history"


def _of_figures(record: Record, file: Path) -> Iterator[str]:
    if not record.completed:
        yield f"its run is {record.status}"
        return
    named = SEED.search(file.stem)
    if named and int(named[1]) != record.seed:
        yield f"of seed {record.seed}"
    if file.suffix == ".csv":
        last = (read_history(file) or [{}])[-1]
        figures = ("train/loss", "train/acc", "val/loss", "val/acc")
        if last.get("epoch") != record.epochs or any(last.get(name) != record.results[name] for name in figures):
            yield "of another run than the record beside it"


def _past(checkout: Path) -> dict[str, Past]:
    """Of each path today, its renames followed."""
    log = _git(checkout, "log", "--reverse", "--raw", "--no-abbrev", "--find-renames", "--format=%h", "--", FOLDER)
    past: dict[str, Past] = {}
    gone: dict[str, list[str]] = defaultdict(list)
    commit = ""
    for line in filter(None, log.splitlines()):
        if not line.startswith(":"):
            commit = line[:7]
            continue
        about, *paths = line.split("\t")
        content, status = about.split()[3:]
        if status.startswith("A"):
            past[paths[0]] = Past(content, gone.pop(paths[0], []))
        elif status.startswith("D"):
            del past[paths[0]]
            gone[paths[0]] = [commit]  # the same path again is another run in its place, without a trace of the first
        else:
            entry = past[paths[-1]] = past.pop(paths[0])
            if content != entry.added:
                entry.changes.append(commit)
    return past


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()
