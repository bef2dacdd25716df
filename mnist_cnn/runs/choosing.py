"""Which of the listed runs, and in which order: tests such as `val/acc>99.4%`, and a key to sort by."""

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

import yaml

from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.runs.listing import FACTS, ListedRun

NUMBER = r"(\d+\.?\d*|\.\d+)"
UNITS: dict[str, dict[str, float]] = {
    "age": {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400},
    "size": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9},
}
STATUSES = "completed", "running", "killed", "interrupted", "failed", "diverged", "pruned", "unreadable"
_TEST = re.compile(r"(?P<key>[\w./]+?)(?P<sign><=|>=|!=|=|<|>)(?P<text>.*)", re.DOTALL)


def choose(runs: Sequence[ListedRun], tests: Sequence[str], sort: str) -> list[ListedRun]:
    """The runs that pass every test, sorted.

    Args:
        tests: `model=gap`, `val/acc>99.4%`, `age<2d`, `size>10MB`, `status=fail*`, `optimizer.lr<=0.01`.
        sort: a key; accuracies highest first, all else lowest first; the other way round behind a minus.

    Raises:
        ConfigError: a test that is none, or a key that no run has.
    """
    parsed = [_parse(text) for text in tests]
    key = sort.removeprefix("-")
    _require_known(runs, [test[0] for test in parsed] + [key])
    kept = [run for run in runs if all(_passes(run.value(name), sign, wanted) for name, sign, wanted in parsed)]
    having = [(run.value(key), run) for run in kept]
    down = key.endswith("acc") != sort.startswith("-")
    ordered = sorted((pair for pair in having if pair[0] is not None), key=lambda pair: _order(pair[0]), reverse=down)
    return [run for _, run in ordered] + [run for value, run in having if value is None]


def is_test(text: str) -> bool:
    return _TEST.fullmatch(text) is not None


def _parse(text: str) -> tuple[str, str, Any]:
    found = _TEST.fullmatch(text)
    if found is None:
        raise ConfigError([f"{text}: must be a test such as model=gap, val/acc>99.4% or age<2d"])
    key, sign, wanted = found["key"], found["sign"], found["text"]
    if key == "status" and sign in ("=", "!=") and not any(fnmatch(status, wanted) for status in STATUSES):
        raise ConfigError([f"{text}: no such status{nearest(wanted, STATUSES)}"])
    units = UNITS.get(key)
    if units is None:
        percent = re.fullmatch(rf"{NUMBER} ?%", wanted)
        return key, sign, float(percent[1]) / 100 if percent else _plain(wanted)
    number = re.fullmatch(rf"{NUMBER} ?([A-Za-z]*)", wanted)
    if number is None or number[2] not in units:
        raise ConfigError([f"{text}: must be a number with one of the units {', '.join(units)}"])
    return key, sign, float(number[1]) * units[number[2]]


def _plain(text: str) -> Any:
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", text):  # of 1e-3 YAML 1.1 makes a text
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # a pattern such as *Adam
        return text


def _passes(value: Any, sign: str, wanted: Any) -> bool:
    if sign in ("=", "!="):
        glob = isinstance(wanted, str) and fnmatch(str(value), wanted)
        return (value == wanted or glob or str(value) == str(wanted)) == (sign == "=")
    numbers = isinstance(value, int | float) and isinstance(wanted, int | float)
    return numbers and {"<": value < wanted, ">": value > wanted, "<=": value <= wanted, ">=": value >= wanted}[sign]


def _require_known(runs: Sequence[ListedRun], keys: Sequence[str]) -> None:
    for key in keys:
        if (
            key not in FACTS
            and runs
            and all(run.value(key) is None for run in runs)
            and all(key not in run.settings for run in runs[-20:])
        ):
            allowed = {*FACTS, *(name for run in runs[-20:] for name in run.settings)}
            figures = {name for run in runs[-20:] if run.saved for name in (run.saved.dump().get("figures") or {})}
            raise ConfigError([f"{key}: no run has it{nearest(key, allowed | figures)}"])


def _order(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, int | float) else (True, str(value))
