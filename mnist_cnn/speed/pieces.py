# mypy: allow-untyped-defs, disable-error-code="call-arg"
"""A list of work, taken piece by piece: what is compiled, in a process of its own that need not import PyTorch.

Inlined, for each level of calls is optimized again as a whole: a quarter of the time that compiling takes.
"""

import numpy as np
from numba import carray

from mnist_cnn.speed.convolve import collect, convolve, correlate, pack
from mnist_cnn.speed.depthwise_kernel import depthwise
from mnist_cnn.speed.kept import Entry, compiled
from mnist_cnn.speed.kernels import pass_over
from mnist_cnn.speed.pooling import average, pool, turn
from mnist_cnn.speed.tiles import count_at, pointer
from mnist_cnn.speed.work import WORDS, Kernel


@compiled(inline="always")
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
    elif kernel == Kernel.COLLECT:
        collect(address, piece, zero)
    else:
        depthwise(address, piece, zero)


@compiled(inline="always")
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
