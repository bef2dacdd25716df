# mypy: allow-untyped-defs, disable-error-code="call-arg"
"""Depthwise convolutions over numbers that lie image by image, compiled by Numba.

A weight meets, in a row of the output, a run of pixels that lie side by side in a row of the input, of all images.
"""

import numpy as np
from numba import carray

from mnist_cnn.speed.kept import compiled
from mnist_cnn.speed.tiles import pointer
from mnist_cnn.speed.work import RECORDS, Depthwise, Kernel

DEPTHWISE = RECORDS[Depthwise]


@compiled(fastmath={"contract", "nsz"})
def _add(weight, x, y):
    for j in range(len(y)):
        y[j] += weight * x[j]


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _product(x, dy, zero):
    total = zero
    for j in range(len(dy)):
        total += x[j] * dy[j]
    return total


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _sum(x, zero):
    total = zero
    for j in range(len(x)):
        total += x[j]
    return total


@compiled()
def depthwise(address, c, zero):
    """One channel, or the gradients of its weights and its bias, added up in 64 bits; see `work.Depthwise`."""
    work = carray(pointer(address, None), (1,), DEPTHWISE)[0]
    images, kernel = work.images, (work.kernel_height, work.kernel_width)
    x = carray(pointer(work.x, zero), (work.channels, work.from_height, work.from_width * images))[c]
    goes_back = work.kernel == Kernel.DEPTHWISE_WEIGHTS
    y = carray(pointer(work.dy if goes_back else work.y, zero), (work.channels, work.height, work.width * images))[c]
    weight = carray(pointer(work.weight, zero), (work.channels, *kernel))[c]
    bias = carray(pointer(work.bias, zero), (work.channels,))
    sums, summed = np.zeros(kernel), 0.0
    for h in range(work.height):  # a row with all its weights: it stays in the nearest cache
        if goes_back:
            summed += _sum(y[h], zero)
        else:
            y[h] = bias[c]
        for i in range(max(0, work.above - h), min(kernel[0], work.from_height + work.above - h)):
            for j in range(kernel[1]):
                first, end = max(0, work.left - j) * images, min(work.width, work.from_width + work.left - j) * images
                by = (j - work.left) * images
                met, own = x[h + i - work.above, first + by : end + by], y[h, first:end]
                if goes_back:
                    sums[i, j] += _product(met, own, zero)
                elif work.flipped:
                    _add(weight[kernel[0] - 1 - i, kernel[1] - 1 - j], met, own)
                else:
                    _add(weight[i, j], met, own)
    if goes_back:
        weight[:], bias[c] = sums, summed
