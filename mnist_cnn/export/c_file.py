"""`format=c`: the files, compiled and run by the compiler of this machine."""

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from mnist_cnn.errors import RunError
from mnist_cnn.export.c_float import float_source, uses_math
from mnist_cnn.export.c_integer import integer_source, sizes
from mnist_cnn.export.compiler import find_compiler, run_c
from mnist_cnn.export.graph import Graph
from mnist_cnn.export.integers import logits_of
from mnist_cnn.export.made import Made, tolerance, vector_images
from mnist_cnn.export.quantize import LOGIT_UNIT, Step, quantize
from mnist_cnn.export.source import Logits, Pixels, Source, pixels_of
from mnist_cnn.export.source_text import NAME, WIDTH, filled, floats, integers, lines_of, places, size, template
from mnist_cnn.export.translate import graph_of

NO_COMPILER = "there is no C compiler here (cc, gcc or clang on the PATH, $CC, or ziglang from PyPI)"
CALIBRATED_ON = 2000  # training images at most, evenly spaced


def make_c(source: Source, precision: str) -> Made:
    """`mnist_net.h`, `mnist_net.c`, and `mnist_net_try.c`, which reads the test vector.

    Raises:
        RunError: a layer that C cannot express here; whole numbers that differ between C and NumPy.
    """
    graph = graph_of(source.net, source.divide_by, "format=c")
    return _whole(source, graph) if precision == "int8" else _floating(source, graph)


def _floating(source: Source, graph: Graph) -> Made:
    files, math = float_source(graph), uses_math(graph)

    def logits(pixels: Pixels) -> Logits:
        return run_c(_measured(files, graph, "float"), pixels, graph.classes, np.float32, math=math)

    workspace, _ = places(graph.layers, size(graph.layers[0].input))
    facts = {"weights": f"{4 * graph.numbers:,} bytes", "memory": f"{4 * workspace:,} bytes, beside the picture"}
    compiler = find_compiler()
    by = f"compiled by {' '.join(compiler)}" if compiler else NO_COMPILER
    return Made(_written(source, files, "float", source.logits, "-lm " * math), logits if compiler else None, by, facts)


def _whole(source: Source, graph: Graph) -> Made:
    steps = calibrated(source, graph)
    files = integer_source(steps)
    compiler = find_compiler()

    def logits(pixels: Pixels) -> Logits:
        found = logits_of(steps, pixels)
        if compiler:
            said = run_c(_measured(files, graph, "int32_t"), pixels, graph.classes, np.int32)
            if not np.array_equal(found, said):
                raise RunError("format=c precision=int8: the C and the same numbers in NumPy disagree")
        return found * LOGIT_UNIT

    constants, memory = sizes(steps)
    facts = {"constants": f"{constants:,} bytes", "memory": f"{memory:,} bytes, the picture included"}
    facts |= {"calibrated on": f"{len(calibration_images(source)):,} training images"}
    same = "and the same numbers in NumPy, bit for bit alike"
    by = f"compiled by {' '.join(compiler)}, {same}" if compiler else f"the same numbers in NumPy; {NO_COMPILER}"
    written = _written(source, files, "int32_t", lambda pixels: logits_of(steps, pixels))
    return Made(written, logits, by, facts, LOGIT_UNIT)


def calibrated(source: Source, graph: Graph) -> list[Step]:
    """The net in whole numbers, by training images."""
    return quantize(graph, calibration_images(source))


def calibration_images(source: Source) -> Pixels:
    pixels = pixels_of(source.images("train"))
    return pixels[:: max(1, len(pixels) // CALIBRATED_ON)][:CALIBRATED_ON]


def _measured(files: Mapping[str, str], graph: Graph, kind: str) -> dict[str, str]:
    return {**files, "measure.c": filled(template("measure.c"), TYPE=kind, CLASSES=graph.classes)}


def _written(
    source: Source, files: Mapping[str, str], kind: str, expected: Callable[[Pixels], Logits], libraries: str = ""
) -> dict[str, bytes]:
    """The files of the net, with a program that reads the test vector.

    Args:
        expected: the logits that it is to find there: of whole numbers to the bit, else but for rounding.
    """
    pictures, _ = vector_images(source)
    logits = expected(pictures)
    whole = kind == "int32_t"
    program = filled(
        template("try.c"), COUNT=len(pictures), TYPE=kind, LIBRARIES=libraries,
        WIDE="int64_t" if whole else "double", TOLERANCE=0 if whole else tolerance(float(np.abs(logits).max())),
        PICTURES=_rows(map(integers, pictures)), EXPECTED=_rows(map(integers if whole else floats, logits)),
    )  # fmt: skip
    before, end, after = files[f"{NAME}.h"].rpartition("\n#endif")
    header = f"{before}\n{names_of(source.classes)}{end}{after}"
    return {name: text.encode() for name, text in {**files, f"{NAME}.h": header, f"{NAME}_try.c": program}.items()}


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"    {{\n{lines_of(row)}\n    }}," for row in rows)


def names_of(classes: Sequence[str]) -> str:
    """A comment that no name of a class can end."""
    named = ", ".join(f"{number}: {json.dumps(name)}" for number, name in enumerate(classes))
    safe = re.sub("[*](?=/)|/(?=[*])", lambda found: f"{found[0]} ", named)
    return "\n".join(textwrap.wrap(f"/* Classes: {safe} */", WIDTH)) + "\n"
