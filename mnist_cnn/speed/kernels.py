# mypy: allow-untyped-defs, disable-error-code="call-arg"
"""Activation, batch norm and dropout over numbers that lie image by image, compiled by Numba.

All numbers of a channel lie side by side. They are cut into pieces of `PIECE`, which any thread may take; sums are in
64 bits but for blocks within a piece, and so do not depend on who took which.

    z = max(x, low1)                        ReLU before the norm: low1 = 0; none: -inf
    y = max(scale * z + bias, low2) * kept  kept: 0 where dropout takes an element, else 1; its factor is in the scale

With SiLU after the norm, u * sigmoid(u) for u = scale * z + bias stands in the place of the maximum, and the factor of
dropout outside.

Which elements dropout takes is a hash of their place and of two random words, so nothing is drawn or stored: the
backward pass computes it again. `dropped`, of 2**32, is 0 for no dropout; the compiler then makes a loop without it.
"""

import numpy as np
from numba import carray

from mnist_cnn.speed.kept import compiled
from mnist_cnn.speed.sigmoid import sigmoid
from mnist_cnn.speed.tiles import pointer
from mnist_cnn.speed.work import RECORDS, After, Kernel, Pass

PIECE = 8192
BLOCK = 1024  # numbers that are summed before the sum goes to 64 bits: equal ones are rounded the same way each time
LEVELS = 2**32  # of a random word
PASS = RECORDS[Pass]


@compiled(inline="always")
def _kept(place, word1, word2):  # the finalizer of MurmurHash3 (Appleby), a random word before each half
    h = np.uint32(place) ^ np.uint32(word1)
    h = np.uint32(h ^ np.uint32(h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ np.uint32(h >> np.uint32(13)))
    h = np.uint32(h + np.uint32(word2))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ np.uint32(h >> np.uint32(16)))


@compiled(inline="always")
def _reaching(given, z, scale, bias, low2, silu, dropped, place, word1, word2, zero):
    """What of a gradient of y reaches scale * z + bias."""
    u = scale * z + bias
    if silu:
        s = sigmoid(u)
        g = given * (s + u * (s - s * s))
    else:
        g = given if u > low2 else zero
    if dropped:
        g = g if _kept(place, word1, word2) >= dropped else zero
    return g


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _sums(x, low1, shift, partial):
    """Adds z - shift and its square to partial, (2,)."""
    one = two = x.dtype.type(0)
    for j in range(len(x)):
        v = x[j]
        v = (low1 if v < low1 else v) - shift
        one += v
        two += v * v
    partial[0] += one
    partial[1] += two


@compiled(fastmath={"contract", "nsz"}, error_model="numpy")
def _transform(x, low1, scale, bias, low2, silu, factor, dropped, start, word1, word2, y):
    """factor: of dropout, where it cannot be in the scale."""
    zero = x.dtype.type(0)
    for j in range(len(x)):
        v = x[j]
        v = scale * (low1 if v < low1 else v) + bias
        v = factor * v * sigmoid(v) if silu else (low2 if v < low2 else v)
        if dropped:
            v = v if _kept(start + np.uint32(j), word1, word2) >= dropped else zero
        y[j] = v


@compiled(fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def _gradient_sums(x, dy, low1, scale, bias, low2, silu, mean, dropped, start, word1, word2, partial):
    """Adds g and g * (z - mean) to partial, (2,), where g is what of dy reaches scale * z + bias."""
    one = two = zero = x.dtype.type(0)
    for j in range(len(x)):
        z = x[j]
        z = low1 if z < low1 else z
        g = _reaching(dy[j], z, scale, bias, low2, silu, dropped, start + np.uint32(j), word1, word2, zero)
        one += g
        two += g * (z - mean)
    partial[0] += one
    partial[1] += two


@compiled(fastmath={"contract", "nsz"}, error_model="numpy")
def _gradient(x, dy, low1, scale, bias, low2, silu, slope, offset, factor, dropped, start, word1, word2, dx):
    """dx = factor * g + slope * z + offset, where x is above low1; g as for the sums."""
    zero = x.dtype.type(0)
    for j in range(len(x)):
        v = x[j]
        z = low1 if v < low1 else v
        g = _reaching(dy[j], z, scale, bias, low2, silu, dropped, start + np.uint32(j), word1, word2, zero)
        g = factor * g + slope * z + offset
        dx[j] = g if v > low1 else zero


@compiled()
def pass_over(address, piece, zero, none):
    """One piece of one channel; see `work.Pass`. What is left to compute of a channel, its first piece writes down."""
    work = carray(pointer(address, None), (1,), PASS)[0]
    channels, size = work.channels, work.size
    of_channel = (size + PIECE - 1) // PIECE
    c, first = piece // of_channel, piece % of_channel * PIECE
    end, start = min(first + PIECE, size), np.uint32(c * size + first)
    low1 = zero if work.relu_before else none
    silu = work.after == After.SILU
    low2 = zero if work.after == After.RELU else none
    dropped, word1, word2 = np.uint32(work.dropped), np.uint32(work.word1), np.uint32(work.word2)
    factor = LEVELS / (LEVELS - work.dropped)  # by which what stays grows
    of_c = carray(pointer(work.x, zero), (channels, size))[c]
    x, y = of_c[first:end], carray(pointer(work.y, zero), (channels, size))[c, first:end]
    sums = carray(pointer(work.sums, 0.0), (channels, of_channel, 2))[c]
    kept = carray(pointer(work.kept, 0.0), (4, channels))[:, c]  # mean, 1 / standard deviation, scale, bias
    weight = carray(pointer(work.weight, zero), (channels,))
    bias = carray(pointer(work.bias, zero), (channels,))
    inner, outer = (1.0, factor) if silu else (factor, 1.0)
    shift = max(of_c[0], low1)  # near the mean: squares of what is left lose no digits
    number = x.dtype.type
    if work.kernel == Kernel.SUMS:
        sums[piece % of_channel] = 0
        for at in range(0, len(x), BLOCK):
            _sums(x[at : at + BLOCK], low1, shift, sums[piece % of_channel])
        return
    if work.kernel == Kernel.NORMALIZE:
        one, two = sums[:, 0].sum() / size, sums[:, 1].sum() / size
        mean, variance = shift + one, max(two - one * one, 0.0)
        deviation = 1 / np.sqrt(variance + work.eps)
        scale = weight[c] * deviation
        moved = bias[c] - mean * scale
        if first == 0:
            kept[0], kept[1], kept[2], kept[3] = mean, deviation, scale, moved
            share = work.momentum
            averages = carray(pointer(work.running_mean, zero), (channels,))
            averages[c] += share * (mean - averages[c])
            averages = carray(pointer(work.running_variance, zero), (channels,))
            averages[c] += share * (variance * size / (size - 1) - averages[c])
        _transform(
            x, low1, number(inner * scale), number(inner * moved), low2, silu, number(outer), dropped, start, word1,
            word2, y,
        )  # fmt: skip
        return
    if work.kernel == Kernel.TRANSFORM:
        _transform(
            x, low1, number(inner * kept[2]), number(inner * kept[3]), low2, silu, number(outer), dropped, start, word1,
            word2, y,
        )  # fmt: skip
        return
    dy = carray(pointer(work.dy, zero), (channels, size))[c, first:end]
    before = low1, number(kept[2]), number(kept[3]), low2, silu
    if work.kernel == Kernel.GRADIENT_SUMS:
        sums[piece % of_channel] = 0
        for at in range(0, len(x), BLOCK):
            part = x[at : at + BLOCK], dy[at : at + BLOCK]
            drop = dropped, start + np.uint32(at), word1, word2
            _gradient_sums(*part, *before, number(kept[0]), *drop, sums[piece % of_channel])
        return
    slope = offset = 0.0
    if work.sums:
        bias_gradient = factor * sums[:, 0].sum()
        weight_gradient = factor * kept[1] * sums[:, 1].sum()
        if first == 0:
            carray(pointer(work.weight, zero), (channels,))[c] = weight_gradient
            carray(pointer(work.bias, zero), (channels,))[c] = bias_gradient
        slope = -kept[2] * kept[1] * weight_gradient / size
        offset = -kept[2] * bias_gradient / size - slope * kept[0]
    _gradient(x, dy, *before, number(slope), number(offset), number(factor * kept[2]), dropped, start, word1, word2, y)
