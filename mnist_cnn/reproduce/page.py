"""The page that holds a document's figures against ours, in Markdown."""

from collections.abc import Mapping, Sequence

from mnist_cnn.report.text import markdown_table
from mnist_cnn.reproduce.claim_plots import outside
from mnist_cnn.reproduce.claims import claims, claims_part
from mnist_cnn.reproduce.held_out import held_out_part
from mnist_cnn.reproduce.rows import FEW, Row
from mnist_cnn.reproduce.study import Document
from mnist_cnn.reproduce.verdicts import Comparison, Verdict
from mnist_cnn.runs.record import known

Verdicts = Mapping[str, Verdict]  # by the key of the entry
LOSSES = ("train/loss", "val/loss")


def document_part(document: Document, rows: Sequence[Row], verdicts: Verdicts) -> str:
    """From the verdicts to the finest figures."""
    own = [row for row in rows if row.protocol == "document"]
    if not own:
        return "Nothing has run yet.\n"
    claimed = {name for claim in claims().get(document.name, []) for name in claim.nets}
    parts = [
        "## Reported and measured",
        "Accuracy on the 10,000 test images after the last epoch, in %, trained on all 60,000 training images. "
        f"{_watched(document)} Ours: mean ± standard deviation over n seeds; how a verdict comes about: "
        "[README](README.md#verdicts).",
        markdown_table([_HEAD, *(line for entry in document.entries for line in _lines(entry.key, own, verdicts))]),
        _missing(document, own),
        f"![every seed, the interval for one more, and the document's figure](figures/{document.name}.png)",
        *claims_part(document.name, own),
        *_probes([row for row in own if row.entry.name not in claimed]),
        *_losses(document, own),
        *_confusion(document, own),
        *held_out_part(rows),
        "## Further figures",
        "Highest accuracy of any epoch; training accuracy, the running mean of the last epoch; points by which the "
        "accuracy on the test images goes up or down in an epoch, mean of the later half of them; the loss there over "
        f"the {FEW} epochs in a row where it is least, in the mean of the seeds, and over the last {FEW}, of runs of "
        f"{3 * FEW} epochs and more; seconds of a run, from the median of all epochs: no speed figures, since machines "
        "differed.",
        markdown_table([_FURTHER, *map(_further, own)]),
        f"Figures of every run: `results/reproduction/{document.name}`; made by "
        f"`python -m mnist_cnn.reproduce {document.name}`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_HEAD = [
    "experiment", "document", "ours", "min–max", "n", "95 % interval for one more seed", "p", "p (Holm)", "verdict",
]  # fmt: skip
_FURTHER = [
    "experiment", "parameters", "best epoch: document", "ours", "training: ours", "up or down in an epoch",
    "test loss: least, last", "seconds",
]  # fmt: skip


def _watched(document: Document) -> str:
    told = [entry for entry in document.entries if not entry.probe]
    once = [entry.name for entry in told if not entry.watched]
    if len(once) == len(told):
        return "The document read the test images once, after the last epoch; ours were measured in every epoch too."
    but = f", except of {', '.join(once)}, where it read them once, after the last" if once else ""
    return f"The document watched the test images after every epoch{but}."


def _missing(document: Document, own: Sequence[Row]) -> str:
    ran = [row.entry for row in own]
    names = [entry.name for entry in document.entries if not entry.probe and entry not in ran]
    return f"No run that stands yet: {', '.join(names)}." if names else ""


def _lines(key: str, own: Sequence[Row], verdicts: Verdicts) -> list[list[str]]:
    """None for a probe, and for what has not run."""
    return [_line(row, verdicts.get(key)) for row in own if row.entry.key == key and not row.entry.probe]


def _line(row: Row, verdict: Verdict | None) -> list[str]:
    test, told = row.spread("test/acc").in_percent, row.comparison
    judged = [interval(told), *map(p_value, (verdict.p, verdict.corrected))] if told and verdict else ["", "", ""]
    words: str = "not reported" if verdict is None else verdict.word
    if verdict and verdict.word != "agrees":
        words += f": {verdict.why}"
    return [
        row.entry.name,
        percent(row.entry.reported.get("acc")),
        test.text(2),
        test.range(2),
        str(test.n),
        *judged,
        words,
    ]


def interval(told: Comparison) -> str:
    """Cut at 0 and 100 %; empty for a single seed."""
    low, high = (min(max(100 * end, 0), 100) for end in told.interval)
    return f"{low:.2f}–{high:.2f}" if told.testable else ""


def p_value(p: float | None) -> str:
    if p is None:
        return ""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def percent(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{100 * accuracy:.2f}"


def _probes(own: Sequence[Row]) -> list[str]:
    probes = [row for row in own if row.entry.probe]
    if not probes:
        return []
    spreads = [(row, row.spread("test/acc").in_percent) for row in probes]
    lines = [[row.entry.name, str(row.entry.probe), all_.text(2), all_.range(2), str(all_.n)] for row, all_ in spreads]
    return [
        "## Probes",
        "Runs that the document does not have. A few seeds tell a net that trains from one that never does, but not "
        "tenths, nor a net that fails now and then.",
        markdown_table([["experiment", "what it tests", "ours", "min–max", "n"], *lines]),
    ]


def _losses(document: Document, own: Sequence[Row]) -> list[str]:
    pictures = ["## Loss", "The first seed of each net.", f"![loss curves](figures/{document.name}_curves.png)"]
    logged = [row for row in own if row.entry.printed and len(row.runs) > 1]
    if logged:
        head = ["experiment", "n", "training loss: epochs within", "on the test images: epochs within"]
        lines = [
            [
                row.entry.name,
                str(len(row.runs)),
                *("{} of {}".format(*row.within(name)) for name in LOSSES),
            ]
            for row in logged
        ]
        pictures += [
            "How many epochs of the printed log lie within the 95 % interval for one more seed of ours. An interval "
            "from few seeds is wide: that it holds a figure says little then.",
            markdown_table([head, *lines]),
        ]
    if lines := [line for row in own for line in _loss_lines(row)]:
        head = ["experiment", "epoch", "training: document", "ours", "test images: document", "ours", "min–max"]
        pictures += [
            "Where the document prints it: after the last epoch, and after the first where it has a log.",
            markdown_table([head, *lines]),
        ]
    return pictures


def _loss_lines(row: Row) -> list[list[str]]:
    last = known(row.runs[0].epochs)
    told: dict[int, tuple[float | None, float]] = {}
    if printed := row.entry.printed:
        told = {epoch: (printed["train/loss"][epoch - 1], printed["val/loss"][epoch - 1]) for epoch in (1, last)}
    elif "loss" in row.entry.reported:
        told = {last: (None, row.entry.reported["loss"])}
    lines = []
    for epoch, (training, test) in told.items():
        ours = row.spread_after(epoch, "val/loss")
        lines.append([
            row.entry.name, str(epoch),
            "" if training is None else f"{training:.4f}", row.spread_after(epoch, "train/loss").text(4),
            f"{test:.4f}", ours.text(4), ours.range(4),
        ])  # fmt: skip
    return lines


def _confusion(document: Document, own: Sequence[Row]) -> list[str]:
    printed = [row for row in own if row.entry.confusion]
    compared = [row for row in printed if len(row.runs) > 1]
    if not printed:
        return []
    parts = ["## Confusion", "The document's matrices against ours. Of 100 cells some lie outside by chance."]
    parts += [f"`{row.entry.name}` is not compared: it has one seed." for row in printed if row not in compared]
    for row in compared:
        cells = [f"{true} read as {answer}" if true != answer else f"{true}, right" for true, answer in outside(row)]
        parts += [
            f"`{row.entry.name}`, n = {len(row.runs)}: outside the 95 % interval for one more seed: "
            f"{', '.join(cells) or 'no cell'}.",
            f"![confusion matrix of {row.entry.name}](figures/{document.name}_{row.entry.name}_confusion.png)",
        ]
    return parts


def _further(row: Row) -> list[str]:
    return [
        row.entry.name, f"{row.parameters:,}", percent(row.reported_best),
        row.spread("best/acc").in_percent.text(2), row.spread("train/acc").in_percent.text(2), percent(row.step),
        f"{row.rise[0]:.4f}, {row.rise[1]:.4f}" if row.rise else "", f"{row.seconds:.0f}",
    ]  # fmt: skip
