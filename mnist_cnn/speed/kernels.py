# mypy: allow-untyped-defs
"""Activation, batch norm and dropout as single passes over rows of memory, compiled by Numba.

An array is (R, K): rows of K numbers, of which the j-th belongs to channel j % C. In channels_last order a row is one
of an image, K = W * C; of a dense layer's output it is an image, K = C. What differs by channel comes as K numbers.

    z = max(x, low1)                        ReLU before the norm: low1 = 0; none: -inf
    y = max(scale * z + bias, low2) * kept  kept: 0 where dropout takes an element, else 1; its factor is in the scale

Which elements dropout takes is a hash of their place and of two random words, so nothing is drawn or stored: the
backward pass computes it again, whatever the number of threads. Sums go over blocks of rows, in 32 bits within a block
and in 64 between them, so that they do not depend on the number of threads either.
"""

import numpy as np
from numba import njit

BLOCK = 32  # rows


@njit(cache=True, nogil=True, inline="always")
def _kept(place, word1, word2):  # the finalizer of MurmurHash3 (Appleby), a random word before each half
    h = np.uint32(place) ^ np.uint32(word1)
    h = np.uint32(h ^ np.uint32(h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ np.uint32(h >> np.uint32(13)))
    h = np.uint32(h + np.uint32(word2))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ np.uint32(h >> np.uint32(16)))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def sums(x, low1, shift, partial, first, last):
    """Of z - shift and its square by block and channel, for blocks `first` to `last`: partial is (blocks, 2, C)."""
    rows, wide = x.shape
    channels = partial.shape[2]
    one, two = np.empty(wide, x.dtype), np.empty(wide, x.dtype)
    for block in range(first, last):
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


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def transform(x, low1, scale, bias, low2, dropped, word1, word2, y, first, last):
    """y of rows in blocks `first` to `last`; dropped: of 2**32, 0 for no dropout."""
    rows, wide = x.shape
    zero = x.dtype.type(0)
    for r in range(first * BLOCK, min(last * BLOCK, rows)):
        row, out = x[r], y[r]
        start = np.uint32(r * wide)
        if dropped:
            for j in range(wide):
                v = row[j]
                v = scale[j] * (low1 if v < low1 else v) + bias[j]
                v = low2 if v < low2 else v
                out[j] = v if _kept(start + np.uint32(j), word1, word2) >= dropped else zero
        else:
            for j in range(wide):
                v = row[j]
                v = scale[j] * (low1 if v < low1 else v) + bias[j]
                out[j] = low2 if v < low2 else v


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def gradient_sums(x, dy, low1, scale, bias, low2, mean, dropped, word1, word2, partial, first, last):
    """Of g and g * (z - mean), where g is what of dy reaches scale * z + bias: partial is (blocks, 2, C)."""
    rows, wide = x.shape
    channels = partial.shape[2]
    zero = x.dtype.type(0)
    one, two = np.empty(wide, x.dtype), np.empty(wide, x.dtype)
    for block in range(first, last):
        one[:] = 0
        two[:] = 0
        for r in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
            row, given = x[r], dy[r]
            start = np.uint32(r * wide)
            if dropped:
                for j in range(wide):
                    z = row[j]
                    z = low1 if z < low1 else z
                    g = given[j] if _kept(start + np.uint32(j), word1, word2) >= dropped else zero
                    g = g if scale[j] * z + bias[j] > low2 else zero
                    one[j] += g
                    two[j] += g * (z - mean[j])
            else:
                for j in range(wide):
                    z = row[j]
                    z = low1 if z < low1 else z
                    g = given[j] if scale[j] * z + bias[j] > low2 else zero
                    one[j] += g
                    two[j] += g * (z - mean[j])
        for j in range(wide):
            partial[block, 0, j % channels] += one[j]
            partial[block, 1, j % channels] += two[j]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def gradient(x, dy, low1, scale, bias, low2, slope, offset, factor, dropped, word1, word2, dx, first, last):
    """dx = factor * g + slope * z + offset, where x is above low1."""
    rows, wide = x.shape
    zero = x.dtype.type(0)
    for r in range(first * BLOCK, min(last * BLOCK, rows)):
        row, given, out = x[r], dy[r], dx[r]
        start = np.uint32(r * wide)
        if dropped:
            for j in range(wide):
                v = row[j]
                z = low1 if v < low1 else v
                g = given[j] if _kept(start + np.uint32(j), word1, word2) >= dropped else zero
                g = g if scale[j] * z + bias[j] > low2 else zero
                g = factor[j] * g + slope[j] * z + offset[j]
                out[j] = g if v > low1 else zero
        else:
            for j in range(wide):
                v = row[j]
                z = low1 if v < low1 else v
                g = given[j] if scale[j] * z + bias[j] > low2 else zero
                g = factor[j] * g + slope[j] * z + offset[j]
                out[j] = g if v > low1 else zero
