"""The model card that lies beside every export, and its test vector."""

import html
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from mnist_cnn import __version__
from mnist_cnn.export.made import Made, Measured, vector_images
from mnist_cnn.export.source import Logits, Source
from mnist_cnn.report.spread import Spread
from mnist_cnn.runs.listing import find_siblings
from mnist_cnn.runs.record import Record
from mnist_cnn.runs.sameness import are_same

CARD, VECTOR = "model_card.md", "test_vector.json"
PREPARATION = {
    "mnist": "0 is the ground, 255 the ink (white on black). Digits of MNIST fit into 20 x 20 pixels with their centre "
    "of mass in the middle of the picture.",
    "resize": "The whole picture is made grey (0 for black to 255 for white; what is transparent lies on white) and "
    "scaled to that, without regard to its proportions, each pixel a mean of those around it, as those of the training "
    "were.",
}
MNIST_LICENCE = (
    "MNIST is by Yann LeCun and Corinna Cortes, derived from NIST's Special Databases 1 and 3; the documentation of "
    "Keras gives it as CC BY-SA 3.0."
)


@dataclass(frozen=True)
class Card:
    """What somebody who gets an export without the package should know.

    Args:
        form: the format, with its precision.
        measured: None where nothing here can run the export.
    """

    source: Source
    form: str
    made: Made
    measured: Measured | None

    def text(self) -> str:
        parts = [f"# {self.source.name}, as {self.form}", *self._sections()]
        return "\n\n".join(parts) + "\n"

    def _sections(self) -> list[str]:
        source = self.source
        record = source.record
        files = {name: f"{len(content):,} bytes" for name, content in self.made.files.items()}
        weights = sum(parameter.numel() for parameter in source.net.parameters())
        is_net = f"A convolutional network of {weights:,} parameters that tells {len(source.classes)} classes apart"
        known = f": {_text(', '.join(source.classes))}"
        names = known if source.is_told else "; what they show, the checkpoint does not say"
        return [
            f"{is_net}{names}. Made by mnist_cnn {__version__}.",
            _table("Files", files | dict(self.made.facts)),
            _table("Training", _training(source, record) if record else _training_alone(source)),
            _table("Accuracy", self._accuracy()),
            "## Preparation\n\n"
            f"One picture of 28 x 28 pixels, a byte each, row by row. {PREPARATION[source.scale.preparation]} "
            f"A picture prepared otherwise is read worse. The division by {source.divide_by:g} happens inside.",
            f"## Licence\n\nThe program is under the MIT licence, as mnist_cnn is. {_data_licence(source)}",
            "## Limits\n\n"
            "One thing a picture: several, none or anything else get one of the same answers, often with a high "
            f"probability. Probabilities are as trained, not calibrated. {self._measured_on()}Pictures by other hands, "
            "pens and cameras can be read worse.",
        ]

    def _measured_on(self) -> str:
        if self.measured is None:
            return ""
        seen = "" if self.source.measured_on == "test" else ", which training may have seen"
        other = "" if self.source.is_told else f" of {self.source.dataset}"
        return f"Measured on {self.measured.images:,} {self.measured.split} images{other} alone{seen}. "

    def _accuracy(self) -> dict[str, str]:
        if self.measured is None:
            found = {"this export": f"not measured: {self.made.measured_by}"}
        else:
            found = {f"this export ({self.made.measured_by})": str(self.measured)}
        spread = spread_of(self.source)
        if spread is not None:
            words = f"{spread.in_percent.text(3, ' %')} ({spread.in_percent.range(2, ' %')})"
            found[f"{spread.n} runs that differ in the seed alone, test accuracy"] = words
        return found


def spread_of(source: Source) -> Spread | None:
    """Test accuracy of the finished runs beside this one that differ in the seed alone; None for fewer than two."""
    own = source.record
    if own is None or not own.completed:
        return None
    records = [run.saved for run in find_siblings(source.folder.resolve())]
    same = [r for r in records if r and r.completed and r.alike == own.alike and are_same([r, own])]
    alike = {r.seed: r.test for r in same}
    values = [value for value in alike.values() if value is not None]
    return Spread.of(values) if len(values) > 1 else None


def vector(source: Source, made: Made) -> bytes:
    """The first measured image of each class: pixels, label, and the logits of checkpoint and export."""
    pixels, labels = vector_images(source)
    tree = {
        "pixels": "28 x 28, row by row, 0 to 255",
        **({"logits": f"whole numbers in units of 2^{round(math.log2(made.unit))}"} if made.unit != 1 else {}),
        "images": [
            {
                "label": int(label),
                "checkpoint_logits": [round(float(value), 6) for value in before],
                **({"logits": _said(after, made.unit)} if after is not None else {}),
                "pixels": [int(pixel) for pixel in image.ravel()],
            }
            for image, label, before, after in zip(
                pixels,
                labels,
                source.logits(pixels),
                made.logits(pixels) if made.logits else [None] * len(labels),
                strict=True,
            )
        ],
    }
    return (json.dumps(tree) + "\n").encode()


def _said(logits: Logits, unit: float) -> list[float]:
    """As the files give them."""
    return [round(float(value), 6) for value in logits] if unit == 1 else [round(value / unit) for value in logits]


def _training(source: Source, record: Record) -> dict[str, str]:
    protocol = record.protocol
    found = {"state": source.unfinished} if source.unfinished else {}
    if protocol is not None:
        few = {"training": protocol.train_images, "validation": protocol.val_images}
        numbers = ", ".join(f"{count:,} for {name}" for name, count in few.items() if count)
        found["data"] = (
            _text(protocol.dataset)
            + (f": {numbers}" if numbers else "")
            + ("; files verified by MD5" if protocol.verified else "")
        )
        found["protocol"] = _text(protocol.summary)
    found |= {"command": f"`{shlex.join(record.command)}`"} if record.command else {}
    found |= {"seed": str(record.seed)}
    found |= {"epochs": str(record.epochs)} if record.epochs else {}
    found |= {"commit": record.git.commit + (", changed" if record.git.dirty else "")} if record.git else {}
    return found


def _training_alone(source: Source) -> dict[str, str]:
    """What a lone checkpoint tells."""
    return {"checkpoint": _text(source.weights.name)} | ({"data": _text(source.dataset)} if source.is_told else {})


def _data_licence(source: Source) -> str:
    if not source.is_told:
        return "Which data it was trained on, and their terms, the checkpoint does not say."
    if source.dataset == "MNIST":
        return MNIST_LICENCE
    return f"The terms of the data, {_text(source.dataset)}, are those of their source."


def _text(text: str) -> str:
    """What may hold any sign, so that Markdown shows it as it is, in one line."""
    return html.escape(" ".join(text.split()), quote=False)


def _table(title: str, rows: Mapping[str, str]) -> str:
    cells = [(name, text.replace("|", r"\|")) for name, text in rows.items()]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in cells)])
