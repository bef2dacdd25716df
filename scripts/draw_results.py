"""The picture of the README: test accuracy of every held-out net of `results`, against its size.

python scripts/draw_results.py results docs/results.png

Reads every metrics.json below the folder, as scripts/summarize_seeds.py does. Left out are nets whose training watched
the test images, and other data than MNIST.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command_line import UsageError, read
from summarize_seeds import Seed, finished

from mnist_cnn import cli
from mnist_cnn.report.spread import Spread
from mnist_cnn.runs.record import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 97.8  # percent; sigmoid nets may learn nothing
FAMILIES: dict[str, dict[str, Any]] = {
    "recipes": {"label": "recipes (model=)", "marker": "o", "color": "black", "markersize": 8},
    "speed": {"label": "trained for speed\n(experiment=speed/)", "marker": "s", "color": "tab:blue"},
    "reproduction": {"label": f"nets of the 2019 documents,\nfrom {LEAST} %", "marker": "^", "color": "0.55"},
}


def draw(root: Path, target: Path) -> None:
    """A mark per net: mean over seeds, with a line from its lowest to its highest seed."""
    from matplotlib.figure import Figure  # takes a second to import

    nets: dict[tuple[str, str], list[Seed]] = defaultdict(list)
    for run in finished([root]):
        protocol, family = known(run.record.protocol), run.file.relative_to(root).parts[0]
        if family in FAMILIES and not protocol.test_images_watched and protocol.dataset == "MNIST":
            nets[family, f"{run.folder} {run.record.alike}"].append(run)
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    bars: list[tuple[int, Spread]] = []
    names: list[tuple[str, int, Spread]] = []
    for (family, _), runs in nets.items():
        spread = Spread.of([run.record.results.test_acc for run in runs]).in_percent
        size = known(runs[0].record.parameters).trainable
        ends = [[spread.mean - spread.low], [spread.high - spread.mean]]
        axes.errorbar(size, spread.mean, ends, capsize=3, linestyle="none", **FAMILIES[family])
        bars.append((size, spread))
        if family != "reproduction":
            name = Path(runs[0].folder).name
            names.append((name, size, spread))
    axes.set_xscale("log")
    axes.set_xlim(5_000, 200_000)
    axes.set_xticks([5_000, 10_000, 20_000, 50_000, 100_000, 200_000])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.set_ylim(LEAST, 99.8)
    axes.set_xlabel("trained parameters (log scale)")
    axes.set_ylabel("test accuracy, %")
    axes.set_title("MNIST, test images read once: mean over seeds, lowest to highest", fontsize=11)
    axes.grid(alpha=0.3)
    by_label = {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(by_label.values(), by_label.keys(), loc="outside lower center", ncols=len(by_label), fontsize=9)
    write_names(axes, bars, names)
    figure.savefig(target, dpi=130, metadata={"Software": None})  # else matplotlib writes its version


def write_names(axes: "Axes", bars: Sequence[tuple[int, Spread]], names: Sequence[tuple[str, int, Spread]]) -> None:
    """Each beside its mark, or above or below it, where it lies over no bar and no other name."""
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()  # settles where things are
    at = axes.transData.transform
    taken = [Bbox([at((size, spread.low)), at((size, spread.high))]).padded(4) for size, spread in bars]
    for name, size, spread in sorted(names, key=lambda each: -each[1]):
        low = min(other.low for x, other in bars if x == size)
        high = max(other.high for x, other in bars if x == size)
        for height, offset, ha, va in (
            (spread.mean, (8, 0), "left", "center"), (spread.mean, (-8, 0), "right", "center"),
            (high, (0, 5), "center", "bottom"), (low, (0, -5), "center", "top"),
        ):  # fmt: skip
            text = axes.annotate(name, (size, height), offset, textcoords="offset points", ha=ha, va=va, fontsize=9)
            box = text.get_window_extent().expanded(1.1, 1)
            if not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:
            axes.add_artist(text)
        taken.append(box)


def main() -> None:
    with cli.user_errors():
        given, _ = read(__doc__, {})
        if len(given) != 2:
            raise UsageError("needed: the folder with the results, and the picture to write")
        draw(Path(given[0]), Path(given[1]))


if __name__ == "__main__":
    main()
