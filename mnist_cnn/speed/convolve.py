# mypy: allow-untyped-defs, disable-error-code="call-arg"
"""Convolutions and their gradients over numbers that lie image by image, compiled by Numba around `speed.tiles`.

A tap is one weight of a kernel with the pixel that it meets. Which taps lie within the image is a pixel's kind.
`speed.tables` makes the tables; addresses, offsets and strides are in bytes.
"""

import numpy as np
from numba import carray

from mnist_cnn.speed import tiles
from mnist_cnn.speed.kept import compiled
from mnist_cnn.speed.tiles import AT_ONCE, PAIR, TAPS, VECTOR, WIDE, pointer
from mnist_cnn.speed.work import RECORDS, Convolution, Correlation, Pack

CONVOLUTION, CORRELATION, PACKING = RECORDS[Convolution], RECORDS[Correlation], RECORDS[Pack]
TURN = 256  # taps that all channels take before the next ones: what they meet stays in the nearest cache
NEAR = 2**17  # bytes of what they meet, of some images at once
MISSING = -(2**62)  # instead of an offset: outside the image


@compiled()
def pack(address, piece, zero):
    """One block of weights as `convolve` reads them; flipped, for the gradient of the input. See `work.Pack`.

    What the last block has too much stays as it is.
    """
    work = carray(pointer(address, None), (1,), PACKING)[0]
    outputs, inputs, size, each = work.outputs, work.inputs, work.height * work.width, work.block
    weights = carray(pointer(work.x, zero), (outputs, inputs, size))
    first, end = piece * each, min((piece + 1) * each, inputs if work.flipped else outputs)
    packed = carray(pointer(work.y, zero), (work.pieces, (outputs if work.flipped else inputs) * size, each))[piece]
    if work.flipped:
        for o in range(outputs):
            for c in range(first, end):
                for t in range(size):
                    packed[o * size + size - 1 - t, c - first] = weights[o, c, t]
    else:
        for o in range(first, end):
            for c in range(inputs):
                for t in range(size):
                    packed[c * size + t, o - first] = weights[o, c, t]


@compiled()
def convolve(address, piece, zero, none):
    """All channels of a share of the output's pixels; see `work.Convolution`."""
    work = carray(pointer(address, None), (1,), CONVOLUTION)[0]
    low = zero if work.relu_after else none
    pixels, stride, size = work.height * work.width, work.channel, work.number
    wide = work.images >= WIDE * VECTOR // size
    step = WIDE * VECTOR if wide else VECTOR
    end = work.images * size
    last = end - step
    rows = carray(pointer(work.rows, piece), (work.height,))
    columns = carray(pointer(work.columns, piece), (work.width,))
    counts = carray(pointer(work.counts, piece), (work.kinds,))
    # Two tiles meet the same images where the last is moved back: there nothing can be added in two turns.
    whole = end % step == 0
    for p in range(piece * pixels // work.pieces, (piece + 1) * pixels // work.pieces):
        h, w = p // work.width, p % work.width
        kind = rows[h] + columns[w]
        taps, count = work.taps + kind * work.all_taps * 16, counts[kind]
        turn = min(count, TURN) if whole else count
        group = max(1, NEAR // (turn * step)) * step
        begin = 0
        while begin < end:
            stop = min(begin + group, end)
            first = 0
            while first < count:
                taken = min(turn, count - first)
                floor = low if first + taken == count else none
                for block in range(0, work.channels, work.block):
                    outputs = min(work.block, work.channels - block)
                    weights = work.weights + block * work.all_taps * size
                    bias = work.bias + block * size
                    at = begin
                    while at < stop:
                        here = min(at, last)
                        x = work.x + h * work.row + w * work.column + here
                        y = work.y + block * stride + p * work.column + here
                        some = taps + first * 16
                        if wide:
                            tiles.wide_pixel(outputs, x, some, taken, weights, bias, y, first, stride, floor, zero)
                        else:
                            tiles.narrow_pixel(outputs, x, some, taken, weights, bias, y, first, stride, floor, zero)
                        at += step
                first += turn
            begin += group


@compiled(fastmath={"reassoc", "nsz"})
def _sum(numbers):
    total = numbers.dtype.type(0)
    for j in range(len(numbers)):
        total += numbers[j]
    return total


@compiled()
def correlate(address, piece, zero):
    """The gradients of some blocks of weights, from a share of the rows: sums of dy times what the taps meet.

    A run is a row of pixels, or a part of it, of one kind; see `work.Correlation`.
    """
    work = carray(pointer(address, None), (1,), CORRELATION)[0]
    blocks, pairs = work.all_taps // TAPS, (work.channels + PAIR - 1) // PAIR
    lanes, row = VECTOR // work.number, work.width * work.column
    parts, share, part = work.pieces // work.shares, piece % work.shares, piece // work.shares
    first_block, end_block = part * blocks // parts, (part + 1) * blocks // parts
    first_row, end_row = share * work.height // work.shares, (share + 1) * work.height // work.shares
    held = carray(pointer(work.sums, zero), (work.shares, blocks, pairs, PAIR, TAPS, lanes))[share]
    bias = carray(pointer(work.bias_sums, zero), (work.shares, work.channels))[share]
    rows = carray(pointer(work.rows, piece), (work.height,))
    runs = carray(pointer(work.columns, piece), (work.runs, 2))
    offsets = carray(pointer(work.taps, piece), (work.row_kinds, work.runs, work.all_taps))
    met = np.empty(TAPS, np.int64)
    held[first_block:end_block] = zero
    h = first_row
    while h < end_row:
        alike = 1
        while alike < work.at_once and h + alike < end_row and rows[h + alike] == rows[h]:
            alike += 1
        for run in range(work.runs):
            start, width = runs[run]
            count = width * work.images
            whole = count // (AT_ONCE * lanes) * AT_ONCE * lanes
            x = work.x + h * work.row + start * work.column
            for block in range(first_block, end_block):
                for t in range(TAPS):
                    offset = offsets[rows[h], run, block * TAPS + t]
                    met[t] = x + offset if offset != MISSING else work.zeros
                for pair in range(pairs):
                    outputs = min(PAIR, work.channels - pair * PAIR)
                    dy, sums = work.dy + pair * PAIR * work.channel + h * row + start * work.column, held[block, pair]
                    if whole:
                        to = met.ctypes.data, work.row, alike, whole, sums.ctypes.data
                        tiles.weights(outputs, dy, work.channel, row, *to, zero)
                    if whole < count:
                        _add_rest(dy, work.channel, row, met, work.row, alike, whole, count, sums[:outputs], zero)
        h += alike
    if part == 0:
        for o in range(work.channels):
            bias[o] = zero
            for h in range(first_row, end_row):
                address = work.dy + o * work.channel + h * row
                bias[o] += _sum(carray(pointer(address, zero), (work.width * work.images,)))


@compiled()
def _add_rest(dy, stride, dy_row, met, x_row, rows, start, end, sums, zero):
    """What `tiles.weights` leaves of each row: less than it takes at once."""
    lanes = sums.shape[2]
    for r in range(rows):
        for o in range(len(sums)):
            given = carray(pointer(dy + o * stride + r * dy_row, zero), (end,))
            for t in range(TAPS):
                x = carray(pointer(met[t] + r * x_row, zero), (end,))
                for k in range(start, end):
                    sums[o, t, k % lanes] += given[k] * x[k]


@compiled()
def collect(address, piece, zero):
    """What the shares of `correlate` add up to, for one channel; see `work.Correlation`."""
    work = carray(pointer(address, None), (1,), CORRELATION)[0]
    blocks, pairs = work.all_taps // TAPS, (work.channels + PAIR - 1) // PAIR
    lanes = VECTOR // work.number
    held = carray(pointer(work.sums, zero), (work.shares, blocks, pairs, PAIR, TAPS, lanes))
    gradient = carray(pointer(work.y, zero), (work.channels, work.real_taps))[piece]
    for t in range(work.real_taps):
        total = held[0, t // TAPS, piece // PAIR, piece % PAIR, t % TAPS]
        for share in range(1, work.shares):
            more = held[share, t // TAPS, piece // PAIR, piece % PAIR, t % TAPS]
            for lane in range(lanes):
                total[lane] += more[lane]
        gradient[t] = _sum(total)
    bias_sums = carray(pointer(work.bias_sums, zero), (work.shares, work.channels))
    bias = carray(pointer(work.bias, zero), (work.channels,))
    bias[piece] = bias_sums[0, piece]
    for share in range(1, work.shares):
        bias[piece] += bias_sums[share, piece]
