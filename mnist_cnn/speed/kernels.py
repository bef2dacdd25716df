# mypy: allow-untyped-defs
"""Activation, batch norm and dropout as single passes over rows of memory, compiled by Numba.

An array is (R, K): rows of K numbers, of which the j-th belongs to channel j % C. In channels_last order a row is one
of an image, K = W * C; of a dense layer's output it is an image, K = C. What differs by channel comes as K numbers.

    z = max(x, low1)                        ReLU before the norm: low1 = 0; none: -inf
    y = max(scale * z + bias, low2) * kept  kept: 0 where dropout takes an element, else 1; its factor is in the scale

Which elements dropout takes is a hash of their place and of two random words, so nothing is drawn or stored: the
backward pass computes it again. `dropped`, of 2**32, is 0 for no dropout; the compiler then makes a loop without it.
Sums go over blocks of rows, in the numbers' own precision within a block and in 64 bits between them.
"""

import numpy as np
from numba import njit

BLOCK = 32  # rows


def _compiled(**options):
    """Kept on disk for other processes, where there is a folder for that."""

    def compile_it(function):
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # "no locator available": neither the package nor the user has one that can be written
            return njit(**options)(function)

    return compile_it


@_compiled(inline="always")
def _kept(place, word1, word2):  # the finalizer of MurmurHash3 (Appleby), a random word before each half
    h = np.uint32(place) ^ np.uint32(word1)
    h = np.uint32(h ^ np.uint32(h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ np.uint32(h >> np.uint32(13)))
    h = np.uint32(h + np.uint32(word2))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ np.uint32(h >> np.uint32(16)))


@_compiled(fastmath={"reassoc", "contract", "nsz"})
def sums(x, low1, shift, partial):
    """Of z - shift and its square by block and channel: partial is (blocks, 2, C)."""
    rows, wide = x.shape
    channels = partial.shape[2]
    one, two = np.empty(wide, x.dtype), np.empty(wide, x.dtype)
    for block in range(len(partial)):
        one[:] = 0
        two[:] = 0
        for r in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
            row = x[r]
            for j in range(wide):
                v = row[j]
                v = (low1 if v < low1 else v) - shift[j]
                one[j] += v
                two[j] += v * v
        for j in range(wide):
            partial[block, 0, j % channels] += one[j]
            partial[block, 1, j % channels] += two[j]


@_compiled(fastmath={"contract", "nsz"})
def transform(x, low1, scale, bias, low2, dropped, word1, word2, y):
    """y, as above."""
    rows, wide = x.shape
    zero = x.dtype.type(0)
    for r in range(rows):
        row, out = x[r], y[r]
        start = np.uint32(r * wide)
        for j in range(wide):
            v = row[j]
            v = scale[j] * (low1 if v < low1 else v) + bias[j]
            v = low2 if v < low2 else v
            if dropped:
                v = v if _kept(start + np.uint32(j), word1, word2) >= dropped else zero
            out[j] = v


@_compiled(inline="always")
def _reaching(given, z, scale, bias, low2, dropped, place, word1, word2, zero):
    """What of a gradient of y reaches scale * z + bias."""
    g = given if scale * z + bias > low2 else zero
    if dropped:
        g = g if _kept(place, word1, word2) >= dropped else zero
    return g


@_compiled(fastmath={"reassoc", "contract", "nsz"})
def gradient_sums(x, dy, low1, scale, bias, low2, mean, dropped, word1, word2, partial):
    """Of g and g * (z - mean), where g is what of dy reaches scale * z + bias: partial is (blocks, 2, C)."""
    rows, wide = x.shape
    channels = partial.shape[2]
    zero = x.dtype.type(0)
    one, two = np.empty(wide, x.dtype), np.empty(wide, x.dtype)
    for block in range(len(partial)):
        one[:] = 0
        two[:] = 0
        for r in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
            row, given = x[r], dy[r]
            start = np.uint32(r * wide)
            for j in range(wide):
                z = row[j]
                z = low1 if z < low1 else z
                place = start + np.uint32(j)
                g = _reaching(given[j], z, scale[j], bias[j], low2, dropped, place, word1, word2, zero)
                one[j] += g
                two[j] += g * (z - mean[j])
        for j in range(wide):
            partial[block, 0, j % channels] += one[j]
            partial[block, 1, j % channels] += two[j]


@_compiled(fastmath={"contract", "nsz"})
def gradient(x, dy, low1, scale, bias, low2, slope, offset, factor, dropped, word1, word2, dx):
    """dx = factor * g + slope * z + offset, where x is above low1; g as for `gradient_sums`."""
    rows, wide = x.shape
    zero = x.dtype.type(0)
    for r in range(rows):
        row, given, out = x[r], dy[r], dx[r]
        start = np.uint32(r * wide)
        for j in range(wide):
            v = row[j]
            z = low1 if v < low1 else v
            place = start + np.uint32(j)
            g = _reaching(given[j], z, scale[j], bias[j], low2, dropped, place, word1, word2, zero)
            g = factor[j] * g + slope[j] * z + offset[j]
            out[j] = g if v > low1 else zero
