"""`format=web`: one HTML file to draw on, with the net, the preparation of pictures and everything else inside."""

import html
import json
import shlex
import shutil
import string
import subprocess
import zlib
from typing import Any

import numpy as np

from mnist_cnn.data.images import DIGITS
from mnist_cnn.errors import RunError
from mnist_cnn.export.card import spread_of
from mnist_cnn.export.compiler import workplace
from mnist_cnn.export.graph import Graph, Layer
from mnist_cnn.export.made import Made
from mnist_cnn.export.source import Logits, Pixels, Source
from mnist_cnn.export.source_text import filled, template
from mnist_cnn.export.translate import graph_of

PAGE = "index.html"
# 85 signs that need no care in HTML and JavaScript, nor in `filled`.
ALPHABET = "".join(
    sign for sign in string.digits + string.ascii_letters + string.punctuation if sign not in "\"'\\<>&`@$"
)
SCRIPTS = ("net.js", "prepare.js", "page.js")
WANTED = {"mnist": "of one digit, dark on light or light on dark", "resize": "like those it was trained on"}
PLACED = {"mnist": ", centred", "resize": ", the whole picture scaled"}
MAPS = 16  # shown at most
LIGHT = 127  # the mean of pictures on a light ground is above
NO_NODE = "there is no node on the PATH"
# Reads pictures of 784 bytes from standard input, and writes the logits of each.
MEASURE = """
unpackNet(NET).then((net) => {
  const pictures = require("fs").readFileSync(0), found = [];
  for (let i = 0; i < pictures.length; i += 784) {
    const made = runNet(net, pictures.subarray(i, i + 784));
    found.push(Buffer.from(Float32Array.from(made[made.length - 1]).buffer));
  }
  require("fs").writeSync(1, Buffer.concat(found));
});
"""


def make_web(source: Source, precision: str) -> Made:
    """`index.html`, which opens from disk without a server, measured by node.

    Raises:
        RunError: a layer that the page cannot express.
    """
    graph = _graph(source)
    node = shutil.which("node")
    by = f"its script run by node {_version(node)}" if node else NO_NODE
    logits = (lambda pixels: run_script(source, graph, pixels)) if node else None
    return Made({PAGE: page(source).encode()}, logits, by)


def page(source: Source) -> str:
    """The whole page.

    Raises:
        RunError: as `make_web`.
    """
    graph = _graph(source)
    first = graph.layers[0].output[0]
    title = "Draw a digit" if list(source.classes) == DIGITS else "Show it a picture"
    maps = f"{min(first, MAPS)} of {first} maps" if first > MAPS else f"all {first} maps"
    way = source.scale.preparation
    numbers = f"{sum(parameter.numel() for parameter in source.net.parameters()):,}"
    facts = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in _facts(source).items())
    return filled(
        template("page.html"), TITLE=title, STYLE=template("page.css"), PARAMETERS=numbers, FACTS=facts,
        DATA=script_of(source, graph),
        WANTED=WANTED[way], PLACED=PLACED[way],
        MAPSLABEL=f"what the first layer finds in it, {maps}", NET=html.escape(source.name),
        SCRIPT="\n".join(map(template, SCRIPTS)),
    )  # fmt: skip


def _graph(source: Source) -> Graph:
    return graph_of(source.net, source.divide_by, "format=web")


def script_of(source: Source, graph: Graph) -> str:
    """The net as a constant of a script; what a class is called cannot end it."""
    return f"const NET = {json.dumps(_data(source, graph)).replace('<', chr(92) + 'u003c')};\n"


def _facts(source: Source) -> dict[str, str]:
    """What the record of the run says."""
    record, spread = source.record, spread_of(source)
    facts: dict[str, str] = {}
    if record is not None and record.completed and record.results.test_acc is not None:
        facts["accuracy"] = f"{record.results.test_acc:.2%} of the test images"
    if spread is not None:
        facts["over seeds"] = f"{spread.in_percent.text(2, ' %')}, {spread.n} runs that differ in the seed alone"
    if record is not None and record.protocol is not None:
        facts["trained on"] = f"{record.protocol.dataset}; {record.protocol.summary}"
    if record is not None and record.command:
        facts["by"] = shlex.join(record.command)
    return facts


def _data(source: Source, graph: Graph) -> dict[str, Any]:
    numbers = [part.ravel() for layer in graph.layers for part in (layer.weight, layer.bias) if part is not None]
    packed = _packed(np.concatenate(numbers or [np.zeros(0)]).astype("<f4"))
    scale = source.scale
    return {
        "classes": list(source.classes), "preparation": scale.preparation,
        "light": scale.preparation == "resize" and (scale.mean or 0) > LIGHT,
        "divideBy": graph.divide_by, "alphabet": ALPHABET, "packedBytes": len(packed),
        "layers": [_described(layer) for layer in graph.layers], "weights": base85(packed),
    }  # fmt: skip


def _described(layer: Layer) -> dict[str, Any]:
    sizes = {"weights": layer.weight.size if layer.weight is not None else 0,
             "biases": layer.bias.size if layer.bias is not None else 0}  # fmt: skip
    names = ("kind", "input", "output", "kernel", "stride", "padding", "relu", "function", "parameter")
    return {name: getattr(layer, name) for name in names} | sizes


def _packed(numbers: Any) -> bytes:
    """Deflated, all first bytes before all second ones: those that are alike lie together."""
    planes = np.frombuffer(numbers.tobytes(), np.uint8).reshape(-1, 4).T.tobytes()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(planes) + deflate.flush()


def base85(content: bytes) -> str:
    """Four bytes as five signs; the last ones filled up with zeros."""
    words = np.frombuffer(content + b"\0" * (-len(content) % 4), ">u4").astype(np.int64)
    digits = np.stack([words // 85**power % 85 for power in (4, 3, 2, 1, 0)], 1)
    return "".join(ALPHABET[digit] for digit in digits.ravel().tolist())


def run_script(source: Source, graph: Graph, pixels: Pixels) -> Logits:
    """What the script of the page says of pictures, by node.

    Raises:
        RunError: node fails.
    """
    node = shutil.which("node")
    assert node is not None
    with workplace("format=web") as folder:
        file = folder / "measure.cjs"
        file.write_text(f'"use strict";\n{script_of(source, graph)}{template("net.js")}{MEASURE}', encoding="utf-8")
        given = np.ascontiguousarray(pixels).tobytes()
        done = subprocess.run([node, str(file)], input=given, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no words"]
        raise RunError(f"format=web: {node} failed with code {done.returncode}: {lines[0]}")
    return np.frombuffer(done.stdout, np.float32).reshape(-1, graph.classes)


def _version(node: str) -> str:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip().removeprefix("v")
