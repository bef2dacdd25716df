"""A list of work on PyTorch's own threads: a second pool would wait for cores on which the first one still spins."""

import ctypes
import functools
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnist_cnn.speed.pieces import float32, float64

log = logging.getLogger(__name__)
Program = np.ndarray[Any, Any]  # (works, WORDS) int64, with one row more: how many works


@functools.cache
def compile_kernels(dtype: torch.dtype) -> int:
    """Address of what works in these numbers."""
    message = threading.Timer(1.0, log.info, ["compiling fast layers, once on this machine: 10 to 30 seconds"])
    message.daemon = True
    message.start()
    try:
        return {torch.float32: float32, torch.float64: float64}[dtype].address
    finally:
        message.cancel()


@functools.cache
def _alone(dtype: torch.dtype) -> Any:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compile_kernels(dtype))


@functools.cache
def _together() -> Any:
    """PyTorch's own way to let a function run in several threads; None where there is no such."""
    try:
        mapped = Path("/proc/self/maps").read_text().splitlines()
        library = next(line.split()[-1] for line in mapped if "/torch" in line and "libgomp" in line)
        found = ctypes.CDLL(library).GOMP_parallel
    except (OSError, StopIteration, AttributeError):
        return None
    found.argtypes, found.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return found


def run(program: Program, dtype: torch.dtype) -> None:
    """All of it, by as many threads as PyTorch takes."""
    program[1:, :2] = 0
    threads = torch.get_num_threads()
    together = _together() if threads > 1 else None
    if together is None:
        _alone(dtype)(program.ctypes.data)
    else:
        together(compile_kernels(dtype), program.ctypes.data, threads, 0)
