"""`format=torch` and `format=onnx`: any net, with what happens to the pixels before it inside."""

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnist_cnn.errors import RunError, in_one_line
from mnist_cnn.export.made import Made
from mnist_cnn.export.source import AT_ONCE, Logits, Pixels, Source
from mnist_cnn.models.layers import INPUT_SHAPE

ONNX_NEEDS = ("onnx", "onnxscript", "onnxruntime")
OUTPUTS = ("logits", "probabilities")


class Reader(nn.Module):
    """(N, 1, 28, 28) pixels from 0 to 255, white on black, to logits and probabilities (N, classes)."""

    def __init__(self, net: nn.Module, divide_by: float) -> None:
        super().__init__()
        self.net, self.divide_by = net, divide_by

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.net(images.to(torch.float32) / self.divide_by)
        return logits, logits.softmax(1)


def make_torch(source: Source, precision: str) -> Made:
    """`net.pt2`, by `torch.export`; `torch.export.load("net.pt2").module()` reads it without this package.

    Raises:
        RunError: a net that cannot be traced.
    """
    program = _traced(source)
    file = io.BytesIO()
    torch.export.save(program, file)
    loaded = torch.export.load(io.BytesIO(file.getvalue())).module()

    def logits(pixels: Pixels) -> Logits:
        with torch.inference_mode():
            return torch.cat([loaded(part)[0] for part in _batches(pixels)]).numpy()

    facts = {"input": "`images`, uint8 (N, 1, 28, 28), 0 to 255", "outputs": "logits and probabilities, float32"}
    return Made({"net.pt2": file.getvalue()}, logits, f"torch {torch.__version__}", facts)


def make_onnx(source: Source, precision: str) -> Made:
    """`net.onnx` for pixels as bytes and `net_float.onnx` for the same as floats, checked by onnxruntime.

    Raises:
        RunError: the packages of the extra `export` are missing, or a net that cannot be expressed.
    """
    if missing := [name for name in ONNX_NEEDS if importlib.util.find_spec(name) is None]:
        raise RunError(f"format=onnx needs {', '.join(missing)}: pip install 'mnist-cnn[export]'")
    import onnx
    import onnxruntime

    program = _traced(source)
    try:
        with warnings.catch_warnings(), _silence():
            warnings.simplefilter("ignore")
            made: Any = torch.onnx.export(
                program, dynamo=True, input_names=["images"], output_names=list(OUTPUTS), verbose=False
            )
    except Exception as error:  # of a translator of anybody's net
        raise RunError(f"format=onnx cannot express {source.name}: {in_one_line(error)}") from error
    model = made.model_proto
    model.producer_name, model.doc_string = "mnist_cnn", f"{source.name}: reads 28 x 28 pixels"
    onnx.helper.set_model_props(model, {"classes": json.dumps(list(source.classes))})
    onnx.checker.check_model(model, full_check=True)
    files = {"net.onnx": model.SerializeToString()}
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.checker.check_model(model, full_check=True)
    files["net_float.onnx"] = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    sessions = [
        (onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"]), kind)
        for content, kind in zip(files.values(), (np.uint8, np.float32), strict=True)
    ]

    def logits(pixels: Pixels) -> Logits:
        found = [
            np.concatenate([s.run(["logits"], {"images": part.numpy().astype(kind)})[0] for part in _batches(pixels)])
            for s, kind in sessions
        ]
        if not np.array_equal(found[0], found[1]):
            raise RunError("format=onnx: net.onnx and net_float.onnx disagree")
        return found[0]

    facts = {
        "input": "`images` (N, 1, 28, 28), 0 to 255: uint8 in net.onnx, float32 in net_float.onnx",
        "outputs": "`logits` and `probabilities`, float32 (N, classes)",
        "names of the classes": "`classes` in the metadata of the model, a list of JSON",
        "opset": str(model.opset_import[0].version),
    }
    return Made(files, logits, f"onnxruntime {onnxruntime.__version__}", facts)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporter tells of each of its passes."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _traced(source: Source) -> torch.export.ExportedProgram:
    example = torch.zeros(2, *INPUT_SHAPE, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shapes = {"images": {0: torch.export.Dim.DYNAMIC}}
            return torch.export.export(Reader(source.net, source.divide_by), (example,), dynamic_shapes=shapes)
    except Exception as error:  # of a tracer of anybody's net
        raise RunError(f"torch.export cannot trace {source.name}: {in_one_line(error)}") from error


def _batches(pixels: Pixels) -> tuple[Tensor, ...]:
    return torch.from_numpy(np.ascontiguousarray(pixels)).reshape(-1, *INPUT_SHAPE).split(AT_ONCE)
