"""`format=c precision=int8`: one header and one file of C99, with whole numbers alone."""

from collections.abc import Sequence

from mnist_cnn.export.graph import CONVOLUTIONS
from mnist_cnn.export.quantize import INT32, Step
from mnist_cnn.export.source_text import (
    NAME,
    array,
    at,
    filled,
    integers,
    numbers_of_shape,
    of_channels,
    parts_of,
    places,
    size,
    template,
)

LOGITS = "of each class, in units of 2^-16; softmax turns them into probabilities"
BYTES_OF_SHAPE = 18


def integer_source(steps: Sequence[Step]) -> dict[str, str]:
    """The header and the C file by name."""
    layers = [step.layer for step in steps]
    copied = not layers[0].convolves  # only a convolution reads the pixels where they are
    first = size(layers[0].input) if copied else 0
    workspace, where = places(layers, first)
    parts = parts_of(template("int8.c"))
    kernels = [filled(parts["head"], BYTES=workspace)]
    kinds = {layer.kind for layer in layers}
    kernels += [parts["requantize"]] if kinds - {"max", "activation"} else []
    kernels += [parts["inside"]] if kinds & {*CONVOLUTIONS} else []
    variants = dict.fromkeys((step.layer.kind, step.signed, step is steps[-1]) for step in steps)
    for kind, signed, last in variants:
        given, made = _types(signed, last)
        if kind == "activation":
            kernels += [parts[kind]] if parts[kind] not in kernels else []
        else:
            name, channels = ("conv", of_channels(kind)) if kind in CONVOLUTIONS else (kind, {})
            kernels.append(filled(parts[name], **channels, SUFFIX=_suffix(signed, last), IN=given, OUT=made))
    calls = []
    for i, step in enumerate(steps):
        source, target = where[i]
        outside = i == 0 and not copied
        calls.append(_call(i, step, "pixels" if outside else at(source), target, step is steps[-1]))
    copy = f"    for (int i = 0; i < {first}; i++) {{\n        workspace[i] = pixels[i];\n    }}\n" if copied else ""
    body = f"""
int {NAME}_read(const uint8_t pixels[{NAME.upper()}_PIXELS], int32_t logits[{NAME.upper()}_CLASSES])
{{
    int best = 0;
{copy}{chr(10).join(calls)}
    for (int i = 1; i < {NAME.upper()}_CLASSES; i++) {{
        best = logits[i] > logits[best] ? i : best;
    }}
    return best;
}}
"""
    constants = [_constants(i, step) for i, step in enumerate(steps)]
    header = filled(template("net.h"), CLASSES=size(layers[-1].output), LOGITS=LOGITS, TYPE="int32_t")
    return {f"{NAME}.h": header, f"{NAME}.c": "\n".join(["".join(kernels), *filter(None, constants)]) + "\n" + body}


def sizes(steps: Sequence[Step]) -> tuple[int, int]:
    """Bytes of constants, and of memory: the workspace with the picture that is read."""
    layers = [step.layer for step in steps]
    pixels = size(layers[0].input)
    parts = [part for step in steps for part in (step.weight, step.bias, step.multiplier, step.shift)]
    shapes = BYTES_OF_SHAPE * sum(step.layer.kind != "activation" for step in steps)
    workspace, _ = places(layers, 0 if layers[0].convolves else pixels)
    return sum(part.nbytes for part in parts if part is not None) + shapes, workspace + pixels


def _types(signed: bool, last: bool) -> tuple[str, str]:
    return "int8_t" if signed else "uint8_t", "int32_t" if last else "uint8_t"


def _suffix(signed: bool, last: bool) -> str:
    return ("s8" if signed else "u8") + ("_logits" if last else "")


def _constants(i: int, step: Step) -> str:
    layer = step.layer
    if layer.kind == "activation":
        return array("uint8_t", f"table{i}", integers(step.weight))
    lines = [f"static const shape shape{i} = {{{', '.join(map(str, numbers_of_shape(layer)))}}};"]
    if step.weight is not None:
        named = {"weights": "int8_t", "bias": "int32_t", "multiplier": "int32_t", "shift": "uint8_t"}
        values = (step.weight, step.bias, step.multiplier, step.shift)
        lines += [
            array(kind, f"{name}{i}", integers(part)) for (name, kind), part in zip(named.items(), values, strict=True)
        ]
    return "\n".join(lines)


def _call(i: int, step: Step, source: str, target: int, last: bool) -> str:
    layer = step.layer
    if layer.kind == "activation":
        return f"    look_up({source}, {size(layer.input)}, table{i});"
    given = f"(const int8_t *)({source})" if step.signed else source
    made = "logits" if last else at(target)
    suffix = _suffix(step.signed, last)
    if layer.kind == "max":
        return f"    max_pool_{suffix}(&shape{i}, {given}, {made});"
    limits = f"{_limit(step.low)}, {_limit(step.high)}"
    if layer.kind == "mean":
        assert step.multiplier is not None
        assert step.shift is not None
        factor = f"{step.multiplier[0]}, {step.shift[0]}"
        return f"    mean_pool_{suffix}(&shape{i}, {given}, {made}, {factor}, {limits});"
    name = f"convolve{of_channels(layer.kind)['OF']}" if layer.convolves else "scale"
    numbers = f"weights{i}, bias{i}, multiplier{i}, shift{i}"
    return f"    {name}_{suffix}(&shape{i}, {given}, {made}, {numbers},\n        {limits});"


def _limit(value: int) -> str:
    return {-INT32: "INT32_MIN", INT32 - 1: "INT32_MAX"}.get(value, str(value))
