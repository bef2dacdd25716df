# mypy: allow-untyped-defs, disable-error-code="call-arg"
"""A list of work on PyTorch's own threads: a second pool would wait for cores on which the first one still spins."""

import ctypes
import functools
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import carray

from mnist_cnn.speed.convolve import collect, convolve, correlate, pack
from mnist_cnn.speed.kept import Entry, compiled
from mnist_cnn.speed.kernels import pass_over
from mnist_cnn.speed.pooling import average, pool, turn
from mnist_cnn.speed.tiles import count_at, pointer
from mnist_cnn.speed.work import WORDS, Kernel

log = logging.getLogger(__name__)
Program = np.ndarray[Any, Any]  # (works, WORDS) int64, with one row more: how many works


@compiled()
def _do(kernel, address, piece, zero, none):
    if kernel < Kernel.POOL:
        pass_over(address, piece, zero, none)
    elif kernel < Kernel.AVERAGE:
        pool(address, piece, zero, none)
    elif kernel < Kernel.TURN:
        average(address, piece, zero)
    elif kernel == Kernel.TURN:
        turn(address, piece, zero)
    elif kernel == Kernel.PACK:
        pack(address, piece, zero)
    elif kernel == Kernel.CONVOLVE:
        convolve(address, piece, zero, none)
    elif kernel == Kernel.CORRELATE:
        correlate(address, piece, zero)
    else:
        collect(address, piece, zero)


@compiled()
def _work(address, zero, none):
    """Takes pieces, one work after the other, until there is none left; any number of threads may do so at once.

    Nobody waits for a thread that has no piece.
    """
    works = carray(pointer(address, 0), (1,))[0]
    heads = carray(pointer(address, 0), (works + 1, WORDS))
    complete = 1  # before this one all are
    for w in range(1, works + 1):
        _, _, pieces, kernel, waits = heads[w, :5]
        here = address + w * WORDS * 8
        if waits:
            while complete < w:
                while count_at(address + complete * WORDS * 8 + 8, 0) < heads[complete, 2]:
                    pass
                complete += 1
        piece = count_at(here, 1)
        while piece < pieces:
            _do(kernel, here, piece, zero, none)
            count_at(here + 8, 1)
            piece = count_at(here, 1)


def _float32(address):
    _work(address, np.float32(0), np.float32(-np.inf))


def _float64(address):
    _work(address, np.float64(0), np.float64(-np.inf))


float32, float64 = Entry(_float32), Entry(_float64)


@functools.cache
def compile_kernels(dtype: torch.dtype) -> int:
    """Address of what works in these numbers."""
    message = threading.Timer(1.0, log.info, ["compiling fast layers, once on this machine: some 10 seconds"])
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
