# mypy: allow-untyped-defs, disable-error-code="call-arg"
"""Pooling over numbers that lie image by image, and how images come to lie so, compiled by Numba."""

import numpy as np
from numba import carray

from mnist_cnn.speed.kept import compiled
from mnist_cnn.speed.tiles import pointer
from mnist_cnn.speed.work import RECORDS, Kernel, Pool, Turn

POOLING, TURNING = RECORDS[Pool], RECORDS[Turn]


@compiled()
def _largest(x, window, row, at, images, y, which):
    """Of the window of pixels that begins at `at`, image by image, and which it was: the first, as PyTorch."""
    for i in range(window):
        for j in range(window):
            first = at + i * row + j * images
            v = x[first : first + images]
            t = i * window + j
            for n in range(images):
                larger = t == 0 or v[n] > y[n] or v[n] != v[n]  # NaN stays
                y[n] = v[n] if larger else y[n]
                which[n] = t if larger else which[n]


@compiled()
def pool(address, piece, zero, none):
    """One row of what is left of one channel, or the gradient of the rows that it was; see `work.Pool`."""
    work = carray(pointer(address, None), (1,), POOLING)[0]
    images, window, row = work.images, work.window, work.from_width * work.images
    c, h = piece // work.height, piece % work.height
    low = zero if work.relu_after else none
    first, end = h * window * row, (h + 1) * window * row
    x = carray(pointer(work.x, zero), (work.channels, work.from_height * row))[c, first:end]
    left = work.channels * work.height, work.width * images
    which, top = np.empty(images, np.int32), np.empty(images, x.dtype)
    if work.kernel == Kernel.POOL:
        y = carray(pointer(work.y, zero), left)[piece]
        for w in range(work.width):
            _largest(x, window, row, w * window * images, images, top, which)
            for n in range(images):
                y[w * images + n] = low if top[n] < low else top[n]
        return
    dy = carray(pointer(work.dy, zero), left)[piece]
    dx = carray(pointer(work.y, zero), (work.channels, work.from_height * row))[c, first:end]
    for w in range(work.width):
        given = dy[w * images : (w + 1) * images]
        _largest(x, window, row, w * window * images, images, top, which)
        for t in range(window * window):
            at = w * window * images + t // window * row + t % window * images
            out = dx[at : at + images]
            for n in range(images):
                out[n] = given[n] if which[n] == t and top[n] > low else zero
    for r in range(window):  # what no window reached
        dx[r * row + work.width * window * images : (r + 1) * row] = zero
    if h == work.height - 1:
        rest = carray(pointer(work.y, zero), (work.channels, work.from_height * row))[c, end:]
        rest[:] = zero


@compiled(fastmath={"reassoc", "contract", "nsz"})
def average(address, piece, zero):
    """Of all pixels of one channel, image by image, or the gradient of each; see `work.Pool`."""
    work = carray(pointer(address, None), (1,), POOLING)[0]
    images, pixels = work.images, work.from_height * work.from_width
    if work.kernel == Kernel.AVERAGE:
        x = carray(pointer(work.x, zero), (work.channels, pixels, images))[piece]
        y = carray(pointer(work.y, zero), (work.channels, images))[piece]
        y[:] = zero
        for p in range(pixels):
            for n in range(images):
                y[n] += x[p, n]
        for n in range(images):
            y[n] /= pixels
        return
    dy = carray(pointer(work.dy, zero), (work.channels, images))[piece]
    dx = carray(pointer(work.y, zero), (work.channels, pixels, images))[piece]
    for p in range(pixels):
        for n in range(images):
            dx[p, n] = dy[n] / pixels


@compiled()
def turn(address, piece, zero):
    """A part of the numbers of all images, in the order of the kernels; see `work.Turn`."""
    work = carray(pointer(address, None), (1,), TURNING)[0]
    x = carray(pointer(work.x, zero), (work.images, work.size))
    y = carray(pointer(work.y, zero), (work.size, work.images))
    for first in range(0, work.images, 16):  # a few lines of the cache at a time
        for p in range(piece * work.size // work.pieces, (piece + 1) * work.size // work.pieces):
            for n in range(first, min(first + 16, work.images)):
                y[p, n] = x[n, p]
