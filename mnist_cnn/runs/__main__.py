"""Lists, shows, ranks, compares and cleans up the runs below a folder: `python -m mnist_cnn.runs`."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import usage_at_once
    from mnist_cnn.runs.usage import USAGE

    usage_at_once(USAGE)

import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.filesize import decimal

from mnist_cnn import cli
from mnist_cnn.config.python_values import command
from mnist_cnn.errors import ConfigError, RunError, nearest
from mnist_cnn.files import relative
from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import counted, duration, plain_table, start_table
from mnist_cnn.runs.choosing import choose, is_test
from mnist_cnn.runs.cleaning import What, plan_cleaning
from mnist_cnn.runs.layout import PLAN
from mnist_cnn.runs.listing import ListedRun, as_dict, find_runs
from mnist_cnn.runs.record import known
from mnist_cnn.runs.sameness import parted
from mnist_cnn.runs.usage import USAGE
from mnist_cnn.values import Count

DEFAULT = Path("runs")
SHOWN = 100  # rows of a list that nobody limited
OPTIONS: dict[str, Any] = {
    "sort": str, "columns": str, "top": Count, "format": Literal["table", "json"], "what": What, "yes": bool,
}  # fmt: skip

UNRANKED = (
    "seed=",
    "data.fold=",
    "model=",
    "figures=",
    "callbacks.pruning.",
    "jobs=",
    "threads=",
    "rehearse=",
    "run_root=",
)  # have a column, are given to every trial, or say how, not what


def main() -> None:
    with cli.user_errors():
        given = cli.arguments(USAGE)
        command = COMMANDS.get(given[0]) if given else None
        words = given[1:] if command else given
        tests = [
            word for word in words if is_test(word) and word.split("=")[0] not in OPTIONS and not Path(word).exists()
        ]
        names, options = cli.read_options([word for word in words if word not in tests], OPTIONS)
        for word in names:
            if not Path(word).is_dir():
                named = Path(word).name != word or command  # by its place it is no misspelt command
                kind = "no such folder" if named else f"neither a folder nor a command{nearest(word, COMMANDS)}"
                raise ConfigError([f"{word}: {kind}"])
        (command or list_runs)([Path(name) for name in names], tests, options)


def list_runs(folders: Sequence[Path], tests: Sequence[str], options: dict[str, Any]) -> None:
    """One line a run; test figures only where they are asked for, since a list invites to choose."""
    chosen = _chosen(folders, tests, options)
    extra = options["columns"].split(",") if "columns" in options else []
    if options.get("format") == "json":
        print(json.dumps([as_dict(run, extra) for run in chosen], indent=2))
        return
    shown = chosen if "top" in options else chosen[:SHOWN]
    table = [["run", "status", "epochs", "validation", *extra, "age", "size"]]
    for run in shown:
        best = run.validation
        figures = [run.status, _epochs(run), f"{best:.2%}" if best is not None else ""]
        where = [duration(run.value("age")), decimal(run.size)]
        table.append([run.value("run"), *figures, *(_shown(key, run.value(key)) for key in extra), *where])
    print(plain_table(table) if chosen else _none_of(folders, tests))
    if len(shown) < len(chosen):
        print(f"the first {SHOWN} of {len(chosen):,}; all of them: top={len(chosen)}")


def show(folders: Sequence[Path], tests: Sequence[str], options: dict[str, Any]) -> None:
    """One run: what was asked for, what came out, and the command that goes on."""
    [run] = _named(folders, 1, "show")
    record, path = run.saved, relative(run.path)
    facts = {"run": path, "status": run.status, "asked for": " ".join(run.overrides()) or "the defaults",
             "epochs": _epochs(run), "age": duration(run.value("age")), "size": decimal(run.size)}  # fmt: skip
    if record is not None:
        facts |= {"error": record.error.splitlines()[0]} if record.error else {}
        facts |= {"protocol": record.protocol.summary} if record.protocol else {}
        facts |= (
            {"own code": f"changed while it was trained: {', '.join(record.earlier_code)}"}
            if record.earlier_code
            else {}
        )
        figures = (record.dump().get("figures") or {}).items()
        facts |= {name: _shown(name, value) for name, value in figures if value is not None}
        facts |= {"commit": record.git.commit[:10] + " with changes" * record.git.dirty} if record.git else {}
    if run.status == "completed" or run.checkpoint("last").exists():
        again = command("evaluate", run_dir=path) if run.status == "completed" else command("train", resume=path)
        facts |= {"next": again}
    print(start_table(facts))


def rank(folders: Sequence[Path], tests: Sequence[str], options: dict[str, Any]) -> None:
    """Completed runs grouped over seeds and folds, best mean validation accuracy first; last those without one."""
    groups: dict[tuple[Any, ...], list[ListedRun]] = {}
    for run in choose(_found(folders), tests, options.get("sort", "age")):
        if run.status == "completed":
            protocol, record = known(known(run.saved).protocol), known(run.saved)
            key = protocol.dataset, protocol.validate_on, protocol.folds, record.settings, record.numerics
            groups.setdefault(key, []).append(run)
    rows = []
    parts = [parted(group, lambda run: known(run.saved)) for group in groups.values()]
    for members in itertools.chain.from_iterable(parts):
        accuracies = [run.validation for run in members if run.validation is not None]
        rows.append((Spread.of(accuracies) if accuracies else None, members))
    table = [["model", "asked for", "data", "n", "validation: mean ± sd", "min–max"]]
    for spread, members in sorted(rows, key=lambda row: -row[0].mean if row[0] else 1)[: options.get("top")]:
        record, percent = known(members[0].saved), spread.in_percent if spread else None
        asked = " ".join(text for text in members[0].overrides() if not text.startswith(UNRANKED))
        watched = " (watched test images)" * known(record.protocol).test_images_watched
        figures = [percent.text(3, " %"), percent.range(2, " %")] if percent else ["", ""]
        table.append([members[0].model, asked, known(record.protocol).dataset + watched, _count(members), *figures])
    print(plain_table(table) if rows else _none_of(folders, [*tests, "status=completed"]))
    if any(len(each) > 1 for each in parts):
        print("\nRows of the same settings differ in images or own code: diff A B says which.")


def diff(folders: Sequence[Path], tests: Sequence[str], options: dict[str, Any]) -> None:
    """Settings, figures and circumstances that two runs do not share."""
    one, other = _named(folders, 2, "diff")
    table = [["", relative(one.path), relative(other.path)]]
    for read in (lambda run: run.settings, _facts):
        left, right = read(one), read(other)
        for key in dict.fromkeys([*left, *right]):
            if left.get(key) != right.get(key):
                table.append([key, _shown(key, left.get(key)), _shown(key, right.get(key))])
    print(plain_table(table) if len(table) > 1 else "the same settings, figures and circumstances")


def clean(folders: Sequence[Path], tests: Sequence[str], options: dict[str, Any]) -> None:
    """Removes what is no longer needed, once the user has said yes."""
    what = options.get("what", "failed")
    removals = plan_cleaning(_chosen(folders, tests, options), what, chosen=bool(tests))
    if not removals:
        print("nothing to clean up")
        return
    for removal in removals:
        names = "" if removal.paths == [removal.run.path] else ": " + ", ".join(path.name for path in removal.paths)
        print(f"{relative(removal.run.path)} ({removal.run.status}){names}")
    text = _amount([removal.size for removal in removals])
    if not options.get("yes") and not sys.stdin.isatty():
        raise ConfigError([f"clean: {text} would go; without a terminal to ask in, say yes=true"])
    if options.get("yes") or input(f"Remove this of {text}? [y/N] ").strip().lower() in ("y", "yes"):
        freed = [removal.perform() for removal in removals]
        print(f"removed: {_amount([size for size in freed if size is not None])}")
    else:
        print("nothing removed")


COMMANDS: dict[str, Callable[[Sequence[Path], Sequence[str], dict[str, Any]], None]] = {
    "list": list_runs, "show": show, "rank": rank, "diff": diff, "clean": clean,
}  # fmt: skip


def _amount(sizes: Sequence[int]) -> str:
    return f"{counted(len(sizes), 'run')}, {decimal(sum(sizes))}"


def _chosen(folders: Sequence[Path], tests: Sequence[str], options: dict[str, Any]) -> list[ListedRun]:
    return choose(_found(folders), tests, options.get("sort", "age"))[: options.get("top")]


def _none_of(folders: Sequence[Path], tests: Sequence[str]) -> str:
    count = len(_found(folders))
    none = f"no runs below {', '.join(map(str, folders or [DEFAULT]))}"
    return f"no run of {count} passes {' '.join(tests)}" if count and tests else none


def _found(folders: Sequence[Path]) -> list[ListedRun]:
    """Nobody has trained yet where the folder that nobody named is not there."""
    there = folders or ([DEFAULT] if DEFAULT.is_dir() else [])
    return [run for folder in there for run in find_runs(folder)]


def _named(folders: Sequence[Path], count: int, command: str) -> list[ListedRun]:
    if len(folders) != count:
        raise ConfigError([f"{command}: needed: {count} run director{'y' if count == 1 else 'ies'}"])
    runs = [ListedRun(folder.resolve(), folder) for folder in folders]
    for run in runs:
        if not run.config_file.is_file():
            kind = "a sweep: name one of its jobs" if (run.path / PLAN).is_file() else "not a run directory"
            raise RunError(f"{run.root}: {kind} (no config.yaml)")
    return runs


def _count(members: Sequence[ListedRun]) -> str:
    """How many runs, and which seed is there several times: no repeat with other random numbers."""
    places = Counter((known(run.saved).seed, run.setting("data.seed"), run.setting("data.fold")) for run in members)
    twice = sorted({seed for (seed, *_), count in places.items() if count > 1})
    return f"{len(members)}" + (f" (seed {', '.join(map(str, twice))} repeated)" if twice else "")


def _facts(run: ListedRun) -> dict[str, Any]:
    record = run.saved.dump() if run.saved is not None else {}
    groups = ("parameters", "figures", "timing", "versions", "git", "hardware", "own_code", "earlier_code", "images")
    record["images"] = (record.get("protocol") or {}).get("images")
    return {f"{group}.{key}" if group != "figures" else key: value for group in groups
            for key, value in (record.get(group) or {}).items()}  # fmt: skip


def _epochs(run: ListedRun) -> str:
    done, planned = run.value("epochs"), run.value("max_epochs")
    return f"{done}/{planned}" if planned else f"{done}"


def _shown(key: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2%}" if key.endswith("acc") else f"{value:.4g}"
    return "" if value is None else str(value)


if __name__ == "__main__":
    main()
