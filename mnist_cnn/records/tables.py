"""The tables of records: which stand, what changed from one to the next, what they take, and how to check them."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mnist_cnn.config.build import build_model
from mnist_cnn.config.compose import compose_run
from mnist_cnn.config.python_values import command
from mnist_cnn.inspect.layers import multiply_adds
from mnist_cnn.records import other_images
from mnist_cnn.records.entries import Elsewhere, RecordEntry, budgets, elsewhere, records
from mnist_cnn.records.missed import outvoted
from mnist_cnn.records.seeds import TEST_IMAGES, Seeds
from mnist_cnn.report.difference import Difference
from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import markdown_table
from mnist_cnn.reproduce.claims import WORDS, words
from mnist_cnn.reproduce.verdicts import holm
from mnist_cnn.runs.record import known

ENSEMBLE = "ensemble"  # the budget of several nets together
ACCURACY = ["test accuracy", "95 % interval of the mean", "seeds"]
FITTED = "training images, distorted"  # accuracy on them, in the last epoch
OTHER_IMAGES = "95 % interval, other images too"
ORIGIN = ["command today", "as it was run", "commit", "results"]
Found = Mapping[int, Seeds]


def best_of_each_budget(found: Found) -> str:
    """The record that stands: the best mean of those that have all their seeds; whether it beats what stood before."""
    lines = [["budget", "record", *ACCURACY, OTHER_IMAGES, "trained parameters", "better than what stood before"]]
    for budget in budgets():
        own = [one for one in records() if fits(one, budget, found) and found[one.number].complete]
        if not own:
            lines.append([budget, "none yet", *[""] * (len(lines[0]) - 2)])
            continue
        best = max(own, key=lambda one: found[one.number].accuracy.mean)
        seeds, earlier = found[best.number], [one for one in own if one.number < best.number]
        better = "the first"
        if earlier:
            stood = max(earlier, key=lambda one: found[one.number].accuracy.mean)
            gain = Difference.of(found[stood.number].accuracies, seeds.accuracies, TEST_IMAGES)
            better = f"{'yes' if gain.found else 'not shown'}, p {words(gain, gain.p)[-1]} from {stood.number}"
        figures = [*_accuracy(seeds), other_images.of_mean(seeds), f"{seeds.parameters:,}"]
        lines.append([budget, f"{best.number}", *figures, better])
    return markdown_table(lines)


def fits(record: RecordEntry, budget: str, found: Found) -> bool:
    """Whether a record keeps a budget: a small net may hold that of a larger one too, an ensemble only its own."""
    most = budgets()[budget]
    if (record.members > 1) != (budget == ENSEMBLE):
        return False
    return bool(found[record.number].runs) and (most is None or found[record.number].parameters <= most)


def story(found: Found) -> str:
    """All records, and how far each is from the one before."""
    steps = {
        one.number: (found[one.against], Difference.of(found[one.against].accuracies, own.accuracies, TEST_IMAGES))
        for one in records()
        if (own := found[one.number]).accuracies and one.against is not None and found[one.against].accuracies
    }
    corrected = holm({str(one): step.p for one, (_, step) in steps.items() if step.p is not None and step.enough})

    def line(one: RecordEntry, seeds: Seeds) -> list[str]:
        start = [one.date, one.budget, *_accuracy(seeds), one.changed]
        if one.number not in steps:
            return [*start, "", "", "", ""]
        before, step = steps[one.number]
        value, interval, p = words(step, step.p)
        of_all = f"{corrected[str(one.number)]:.3f}" if str(one.number) in corrected else ""
        images = other_images.of_difference(before, seeds, step)
        return [*start, f"{value} ({interval}) from {one.against}", images, p, of_all]

    compared = ["from the record before", OTHER_IMAGES, "p", "p (Holm)"]
    return _table(["date", "budget", *ACCURACY, "what changed", *compared], line, found)


def prices(found: Found) -> str:
    """Numbers to store, work for one image, and training."""

    def line(one: RecordEntry, seeds: Seeds) -> list[str]:
        work = one.members * _multiply_adds(one.overrides)
        numbers = [f"{seeds.parameters:,}", f"{seeds.numbers:,}", f"{work:,}"]
        return [*numbers, seeds.seconds.text(0), ", ".join(seeds.processors)]

    head = ["trained parameters", "all stored numbers", "multiply-adds", "training seconds", "processor"]
    return _table(head, line, found)


def fitted(found: Found) -> str:
    """How far a net fits the images that it was trained on better than others; nothing of ensembles."""

    def line(one: RecordEntry, seeds: Seeds) -> list[str]:
        if one.members > 1:
            return []
        seen = Spread.of(list(seeds.of("train/acc").values())).in_percent
        return [f"{seen.text(3)} %", f"{seeds.accuracy.text(3)} %", f"{seen.mean - seeds.accuracy.mean:+.2f}"]

    return _table([FITTED, "test images", "difference"], line, found)


def asked_otherwise(found: Found) -> str:
    """All nets of a record together, and each by several views of an image; those whose answers are kept."""

    def line(one: RecordEntry, seeds: Seeds) -> list[str]:
        all_kept = one.members == 1 and len(seeds.answers) == one.seeds
        vote = f"{100 * (1 - outvoted(seeds.answers) / TEST_IMAGES):.2f} %" if all_kept else ""
        own = seeds.shifted
        if not own or set(own) != set(seeds.accuracies):
            return [vote, "", "", "", ""] if vote else []
        compared = Difference.of(seeds.accuracies, own, TEST_IMAGES)
        return [vote, f"{Spread.of(list(own.values())).in_percent.text(3)} %", *words(compared, compared.p)]

    return _table(["all ten vote", "nine views of each image", *WORDS], line, found)


def checks(found: Found) -> str:
    """What to run, and what was run."""

    def line(one: RecordEntry, seeds: Seeds) -> list[str]:
        return _origin(one.overrides, seeds, one.folder, one.members)

    return _table(ORIGIN, line, found)


def elsewhere_table(results: Path) -> str:
    """Empty where none has run."""
    lines = [line for one in elsewhere() if (line := _elsewhere(one, results))]
    head = ["record", "images", *ACCURACY, *ORIGIN]
    return markdown_table([head, *lines]) if lines else ""


def _elsewhere(one: Elsewhere, results: Path) -> list[str]:
    folder = f"records/{one.runs.results('record')}"
    seeds = Seeds(results / folder)
    return [f"{one.record}", one.data, *_accuracy(seeds), *_origin(one.overrides, seeds, folder)] if seeds.runs else []


def _table(columns: Sequence[str], line: Callable[[RecordEntry, Seeds], list[str]], found: Found) -> str:
    """A line for each record that has run; none where it has nothing to say."""
    told = [(one.number, line(one, found[one.number])) for one in records() if found[one.number].accuracies]
    return markdown_table([["record", *columns], *([str(number), *cells] for number, cells in told if cells)])


def _accuracy(seeds: Seeds) -> list[str]:
    spread = seeds.accuracy
    half = spread.half_width
    ends = f"{spread.mean - half:.3f}–{spread.mean + half:.3f}" if half is not None else ""
    return [f"{spread.text(3)} %", ends, str(spread.n)]


def _origin(overrides: Sequence[str], seeds: Seeds, folder: str, members: int = 1) -> list[str]:
    """The command of the first seed, or of the first ensemble, today; that of the first run, as it was given then."""
    first = next(iter(seeds.runs.values()))
    several = ["-m"] if members > 1 else []
    threads = f"threads={known(first.hardware).threads}"
    seed = f"seed={','.join(map(str, range(1, members + 1)))}"
    today = command("train", *several, *map(shlex.quote, overrides), seed, threads)
    then = shlex.join(first.command or [])
    commits = ", ".join(sorted({run.git.commit[:7] for run in seeds.runs.values() if run.git})) or "not known"
    return [f"`{today}`", f"`{then}`", commits, f"[{folder}](../../results/{folder})"]


def _multiply_adds(overrides: Sequence[str]) -> int:
    """For one image."""
    net: Any = build_model(compose_run(list(overrides)).cfg).eval()
    with torch.random.fork_rng():
        return multiply_adds(net.net)
