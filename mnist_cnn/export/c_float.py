"""`format=c`: one header and one file of C99, with floating-point numbers."""

from mnist_cnn.export.graph import CONVOLUTIONS, Graph, Layer
from mnist_cnn.export.source_text import (
    NAME,
    array,
    at,
    filled,
    floats,
    numbers_of_shape,
    of_channels,
    parts_of,
    places,
    size,
    template,
)

LOGITS = "of each class, as the net gives them; softmax turns them into probabilities"
WITH_PARAMETER = ("elu", "leaky_relu")
OF_MATH = ("sigmoid", "tanh", "gelu", "silu", "elu")
CALLED = {"tanh": "tangent"}  # whose name math.h has


def float_source(graph: Graph) -> dict[str, str]:
    """The header and the C file by name."""
    pixels = size(graph.layers[0].input)
    workspace, where = places(graph.layers, pixels)
    used = {layer.function or layer.kind for layer in graph.layers}
    needs_math = bool(used & set(OF_MATH))
    values = {
        "FLOATS": workspace,
        "NEEDS": "math.h alone" if needs_math else "no library",
        "INCLUDE": "#include <math.h>\n" if needs_math else "",
    }
    parts = parts_of(template("float32.c"))
    kernels = [parts["head"], *([parts["inside"]] if used & {*CONVOLUTIONS} else [])]
    kernels += [filled(parts["conv"], **of_channels(kind)) for kind in CONVOLUTIONS if kind in used]
    kernels += [text for name, text in parts.items() if name in used - {"conv"}]
    steps = [_step(i, layer, *where[i]) for i, layer in enumerate(graph.layers)]
    last = where[-1][1]
    body = f"""\
int {NAME}_read(const uint8_t pixels[{NAME.upper()}_PIXELS], float logits[{NAME.upper()}_CLASSES])
{{
    int best = 0;
    for (int i = 0; i < {NAME.upper()}_PIXELS; i++) {{
        workspace[i] = (float)pixels[i] / {floats([graph.divide_by])[0]};
    }}
{chr(10).join(steps)}
    for (int i = 0; i < {NAME.upper()}_CLASSES; i++) {{
        logits[i] = workspace[{last} + i];
        best = logits[i] > logits[best] ? i : best;
    }}
    return best;
}}
"""
    constants = [_constants(i, layer) for i, layer in enumerate(graph.layers)]
    text = "\n".join([filled("".join(kernels), **values), *filter(None, constants), body])
    header = filled(template("net.h"), CLASSES=graph.classes, LOGITS=LOGITS, TYPE="float")
    return {f"{NAME}.h": header, f"{NAME}.c": text}


def uses_math(graph: Graph) -> bool:
    return any(layer.function in OF_MATH for layer in graph.layers)


def _constants(i: int, layer: Layer) -> str:
    lines = []
    if layer.kind != "activation":
        numbers = ", ".join(map(str, numbers_of_shape(layer)))
        lines.append(f"static const shape shape{i} = {{{numbers}}};")
    if layer.weight is not None:
        weight, bias = layer.weights
        lines += [array("float", f"weights{i}", floats(weight.ravel())), array("float", f"bias{i}", floats(bias))]
    return "\n".join(lines)


def _step(i: int, layer: Layer, source: int, target: int) -> str:
    match layer.kind:
        case "conv" | "depthwise":
            name = f"convolve{of_channels(layer.kind)['OF']}"
            return f"    {name}(&shape{i}, {at(source)}, {at(target)}, weights{i}, bias{i}, {int(layer.relu)});"
        case "scale":
            return f"    scale(&shape{i}, {at(source)}, weights{i}, bias{i}, {int(layer.relu)});"
        case "activation":
            name = CALLED.get(layer.function, layer.function)
            more = f", {floats([layer.parameter])[0]}" if layer.function in WITH_PARAMETER else ""
            place = f"workspace[{source} + i]" if source else "workspace[i]"
            count = size(layer.input)
            return f"    for (int i = 0; i < {count}; i++) {{\n        {place} = {name}({place}{more});\n    }}"
    return f"    {layer.kind}_pool(&shape{i}, {at(source)});"
