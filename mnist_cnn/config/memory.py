"""How much memory there is, and whether a net and its batch fit into it: asked of shapes alone, before any is taken."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnist_cnn.errors import shortened
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import INPUT_SHAPE

CGROUP = Path("/sys/fs/cgroup/memory.max")
KILOBYTES = re.compile(r"(MemAvailable|VmData):\s+(\d+) kB")
COPIES = 2  # of every weight, at least: itself and its gradient


def machine_memory() -> int:
    """Bytes that this process may come to."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else [2**63 - 1]
    if CGROUP.is_file() and (text := CGROUP.read_text().strip()).isdecimal():
        limits.append(int(text))
    if sys.platform == "linux":
        import resource

        limits += [soft for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
                   if (soft := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY]  # fmt: skip
    return min(limits)


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """What asks for more than is free is refused, instead of having the system end the process; on Linux."""
    if sys.platform != "linux":
        yield
        return
    import resource

    free, held = (_kilobytes(file) * 1024 for file in ("/proc/meminfo", "/proc/self/status"))
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = min([free + held, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _kilobytes(file: str) -> int:
    found = KILOBYTES.search(Path(file).read_text())
    return int(found[2]) if found else 0


def check_sizes(node: dict[str, Any], net: nn.Module, batch: int) -> list[str]:
    """Problems of the weights of a net, and of what it keeps of a batch for the gradients.

    Args:
        node: of the model.
        net: without memory, or one that fitted.
    """
    there = machine_memory()
    weights = COPIES * sum(weight.numel() * weight.element_size() for weight in net.parameters())
    without_memory = all(weight.is_meta for weight in net.parameters())
    kept = _activations(net) if isinstance(net, Classifier) and without_memory else 0
    if max(weights, kept) > there:
        given = {key: value for key, value in node.items() if not key.startswith("_")}
        name, value = max(given.items(), key=lambda item: _largest(item[1]))
        what = "weights and gradients take" if weights > there else "what its layers give for an image takes"
        return [f"model.{name} = {shortened(value)}: {what} {_size(max(weights, kept))}; {_has(there)}"]
    if batch * kept > there:
        return [f"data.batch_size = {batch}: a step takes {_size(batch * kept)}; {_has(there)}"]
    return []


def _activations(net: nn.Module) -> int:
    """Bytes that the layers give for one image."""
    sizes: list[int] = []

    def note(layer: nn.Module, given: Any, made: Any) -> None:
        if isinstance(made, torch.Tensor):
            sizes.append(made.numel() * made.element_size())

    layers = [layer for layer in net.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with contextlib.suppress(Exception), torch.no_grad():  # the rehearsal says what is wrong with it
            net.eval()(torch.zeros(1, *INPUT_SHAPE, device="meta"))
    finally:
        net.train()
        for hook in hooks:
            hook.remove()
    return sum(sizes)


def _largest(value: Any) -> float:
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return max((_largest(each) for each in inner), default=0)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _size(count: float) -> str:
    return f"{count / 2**30:,.0f} GiB"


def _has(there: int) -> str:
    return f"there are {_size(there)}"
