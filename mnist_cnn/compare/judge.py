"""From what a user names to a comparison: what can be compared, by which figure, and what a reader must be told."""

from pathlib import Path

from mnist_cnn.compare.comparison import Comparison
from mnist_cnn.compare.images import on_same_images
from mnist_cnn.compare.sides import Place, Side, find_side, sides_of_sweep
from mnist_cnn.errors import ConfigError, RunError, nearest
from mnist_cnn.report.difference import Difference
from mnist_cnn.runs.record import known
from mnist_cnn.runs.sameness import changed_code, images_differ

REPORTED, CHOOSES = "test/acc", "val/acc"  # of finished recipes; of what is still to be chosen from

UNMATCHED = (
    "Predictions of the same images are not kept by both, so they cannot be compared image by image. "
    "Several seeds of each can be compared: name two folders."
)


def compare_runs(a: Place, b: Place, figure: str | None = None) -> Comparison:
    """Whether B is better than A, by runs of each over seeds; `print` it for a table.

    Seeds in common are pairs; a side without enough of them is compared as a group (Welch). Choose by `val/acc`: the
    test figures are for judging what has been chosen.

    Args:
        a, b: a run directory, a folder of runs, a sweep of one setting over seeds, a file such as metrics.json, a
            pattern of such as `'results/recipes/gap_seed*.json'`, or a list of them.
        figure: `test/acc`, `test/loss`, `train/...`; `val/...` is that of the weights that the test measured. None for
            `test/acc`, or `val/acc` where test images were not read, or else what the runs followed.

    Raises:
        RunError: nothing there, nothing finished, several settings on a side, other data, the same runs twice.
        ConfigError: no such figure.
    """
    one, other = find_side(a), find_side(b)
    return compare_sides(one, other, figure or _usual(one, other, [REPORTED, CHOOSES]))


def compare_settings(sweep: str | Path, figure: str | None = None) -> list[Comparison]:
    """The best setting of a sweep (by validation, over its seeds) as A against each of the others; raises as above."""
    best, *others = sides_of_sweep(sweep)
    return [compare_sides(best, each, figure or _usual(best, each, [CHOOSES]), beside=False) for each in others]


def compare_sides(a: Side, b: Side, figure: str, beside: bool = True) -> Comparison:
    """Args: beside: the same figure of the other images too."""
    notes = _notes(a, b)
    both = _in_all(a, b)
    if figure not in both:
        raise ConfigError([f"figure = {figure!r}: not a figure of all these runs{nearest(figure, both)}"])
    split, _, metric = figure.partition("/")
    names = [name for name in (f"val/{metric}", f"test/{metric}") if beside and name in both] or [figure]
    differences = {}
    for name in dict.fromkeys([*names, figure]):
        images = {side.images.get(name.partition("/")[0]) for side in (a, b)}
        whole = images.pop() if len(images) == 1 and metric == "acc" else None
        differences[name] = Difference.of(a.figure(name), b.figure(name), whole)
    same = None
    if len(a.runs) == len(b.runs) == 1 and metric == "acc" and split in ("val", "test"):
        [one], [other] = a.runs.values(), b.runs.values()
        same = on_same_images(one, other, split)
        notes += [] if same else [UNMATCHED]
    judged = differences[figure]
    unused = len(a.runs) + len(b.runs) - judged.a.n - judged.b.n
    if unused:
        notes.append(f"Without a partner of the same seed, and left out: {unused}.")
    return Comparison(a, b, figure, differences, same, notes)


def _in_all(a: Side, b: Side) -> list[str]:
    return [name for name in a.first.measured() if all(len(side.figure(name)) == len(side.runs) for side in (a, b))]


def _usual(a: Side, b: Side, wanted: list[str]) -> str:
    """The first of these that all runs have, else what they followed."""
    followed = a.first.monitor or CHOOSES
    more = [name.partition("/")[0] + followed.removeprefix("val") for name in wanted]
    return next((name for name in wanted + more if name in _in_all(a, b)), wanted[0])


def _notes(a: Side, b: Side) -> list[str]:
    """Raises RunError for what cannot be compared."""
    one, other = known(a.first.protocol), known(b.first.protocol)
    if one.dataset != other.dataset:
        raise RunError(f"A is on {one.dataset}, B on {other.dataset}: figures of different images say nothing")
    if images_differ(run.record for side in (a, b) for run in side.runs.values()):
        raise RunError(
            f"A and B are on other images, both called {one.dataset}: figures of different images say nothing"
        )
    same = {(run.record.alike, run.record.outcome) for run in a.runs.values()} & {
        (run.record.alike, run.record.outcome) for run in b.runs.values()
    }
    if same:
        raise RunError(f"{a.name}, {b.name}: {len(same)} of the runs are the same on both sides")
    notes = [f"Unfinished and left out of {x}: {side.left_out}." for x, side in (("A", a), ("B", b)) if side.left_out]
    notes += _on_code(a, b)
    how = [_protocol(side) for side in (a, b)]
    if how[0] != how[1]:
        notes.append(f"The protocols differ: A {how[0]}; B {how[1]}.")
    elif one.test_images_watched:
        notes.append("Validation was on the test images themselves: nothing was held out.")
    return notes


def _on_code(a: Side, b: Side) -> list[str]:
    """A difference between the sides may be what is compared; one within a side is never meant."""
    records = {name: [run.record for run in side.runs.values()] for name, side in (("A", a), ("B", b))}
    within = [f"The runs of {name} differ in the code of {m}." for name in records for m in changed_code(records[name])]
    return within or [f"A and B differ in the code of {m}." for m in changed_code(records["A"] + records["B"])]


def _protocol(side: Side) -> str:
    of = known(side.first.protocol)
    images = f"{of.train_images} training, {of.val_images} validation and {of.test_images} test images"
    return f"{of.summary}, {images}" + ("" if of.split_seed is None else f", split {of.split_seed}")
