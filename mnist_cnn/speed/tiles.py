# mypy: allow-untyped-defs
"""The inner loops of the convolutions, as vector instructions: compilers do not find them in loops over numbers.

Numbers lie image by image, so one vector holds the same pixel of several images, and a convolution is
sums of vectors times weights. Both loops keep a tile of sums in the processor's registers. Arguments are addresses and
counts of bytes or of numbers; `zero` says what the numbers are: float32 or float64.
"""

import functools
from typing import Any

import numba.core.config
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, codegen
from numba.extending import intrinsic

config: Any = numba.core.config
I32, I64 = ir.IntType(32), ir.IntType(64)
OUTPUTS = 6  # channels of a tile of pixels, at most
TAPS = 9  # weights of a tile of weights, of each of its channels
AT_ONCE = 2  # vectors that such a tile takes in a round: fewer additions of addresses


def _registers():
    """Bytes of a vector, and vectors that a tile has of each channel: sums and operands then fill the registers."""
    features = config.CPU_FEATURES or codegen.get_host_cpu_features()  # NUMBA_CPU_FEATURES in the environment
    if "+avx512f" in features.split(","):
        return 64, 4
    return (32, 2) if binding.get_default_triple().startswith("x86_64") else (16, 4)


VECTOR, WIDE = _registers()
PAIR = 1 if VECTOR == 32 else 2  # channels of a tile of weights: 16 registers do not hold the sums of two


@intrinsic
def pointer(typing, address, zero):
    """To numbers like `zero`, or to anything for None; for `numba.carray`."""
    to = types.voidptr if zero == types.none else types.CPointer(zero)

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(to))

    return to(types.int64, zero), generate


@intrinsic
def count_at(typing, address, more):
    """The count at `address`, which goes up by `more` for all threads at once."""

    def generate(context, builder, signature, arguments):
        address, more = arguments
        return builder.atomic_rmw("add", builder.inttoptr(address, I64.as_pointer()), more, "seq_cst")

    return types.int64(types.int64, types.int64), generate


class _Vectors:
    """Writes instructions on vectors of `number`s."""

    def __init__(self, context, builder, number):
        self.builder, self.number = builder, context.get_value_type(number)
        self.size = number.bitwidth // 8
        self.lanes = VECTOR // self.size
        self.type = ir.VectorType(self.number, self.lanes)

    def add(self, address, offset):
        return self.builder.add(address, I64(offset) if isinstance(offset, int) else offset)

    def read(self, address, kind):
        found = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        found.align = self.size
        return found

    def write(self, value, address):
        self.builder.store(value, self.builder.inttoptr(address, self.type.as_pointer())).align = self.size

    def all(self, value):
        """A vector of one number."""
        empty = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(empty, value, I32(0))
        return self.builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))

    def fused(self, a, b, c):
        """a * b + c."""
        kind = ir.FunctionType(self.type, [self.type] * 3)
        name = f"llvm.fma.v{self.lanes}f{8 * self.size}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])

    def loop(self, count, step, sums, body):
        """`body(i, sums)` gives the next sums, for i = 0, step, ... below `count`, at least once; gives the last."""
        builder = self.builder
        before, within = builder.block, builder.append_basic_block("loop")
        builder.branch(within)
        builder.position_at_end(within)
        i, held = builder.phi(I64), [builder.phi(self.type) for _ in sums]
        after = body(i, held)
        next_i = builder.add(i, I64(step))
        for phi, start, again in zip([i, *held], [I64(0), *sums], [next_i, *after], strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(again, builder.block)  # where the body has come to
        done = builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", next_i, count), within, done)
        builder.position_at_end(done)
        return after

    def either(self, condition, then, otherwise):
        """The vectors that one of two functions gives."""
        builder = self.builder
        blocks, done = [builder.append_basic_block("either") for _ in range(2)], builder.append_basic_block("done")
        builder.cbranch(condition, *blocks)
        found = []
        for block, case in zip(blocks, (then, otherwise), strict=True):
            builder.position_at_end(block)
            found.append(case())
            builder.branch(done)
        builder.position_at_end(done)
        merged = [builder.phi(self.type) for _ in found[0]]
        for phi, *values in zip(merged, *found, strict=True):
            for value, block in zip(values, blocks, strict=True):
                phi.add_incoming(value, block)
        return merged

    def choose(self, number, cases):
        """Does the one of some functions that a number names, counted from 1; the last for all others."""
        builder = self.builder
        done = builder.append_basic_block("chosen")
        blocks = [builder.append_basic_block("case") for _ in cases]
        switch = builder.switch(number, blocks[-1])
        for i, block in enumerate(blocks[:-1], 1):
            switch.add_case(I64(i), block)
        for block, case in zip(blocks, cases, strict=True):
            builder.position_at_end(block)
            case()
            builder.branch(done)
        builder.position_at_end(done)


def _pixels(vectors):
    @intrinsic
    def tile(typing, outputs, x, taps, count, weights, bias, y, again, stride, floor, zero):
        """Writes up to OUTPUTS channels of one pixel: bias and the sum of its taps, at least `floor`.

        taps: `count` pairs of offsets in bytes, of x and of the weights, of which a block lies side by side.
        again: not 0: what y has, instead of the bias.
        stride: bytes from one channel of y to the next.
        """

        def generate(context, builder, signature, arguments):
            outputs, *rest = arguments
            v = _Vectors(context, builder, zero)
            v.choose(outputs, [functools.partial(_pixel, v, each, vectors, *rest) for each in range(1, OUTPUTS + 1)])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9, zero, zero), generate

    return tile


def _pixel(v, outputs, vectors, x, taps, count, weights, bias, y, again, stride, floor, _):
    """Of `_pixels`, for one number of channels."""
    builder = v.builder
    channels = [v.add(y, builder.mul(stride, I64(b))) for b in range(outputs)]
    places = [v.add(channel, j * VECTOR) for channel in channels for j in range(vectors)]
    start = v.either(
        builder.icmp_signed("!=", again, I64(0)),
        lambda: [v.read(place, v.type) for place in places],
        lambda: [v.all(v.read(v.add(bias, b * v.size), v.number)) for b in range(outputs) for _ in range(vectors)],
    )

    def add_tap(i, sums):
        tap = v.add(taps, builder.mul(i, I64(16)))
        here, weight = v.add(x, v.read(tap, I64)), v.add(weights, v.read(v.add(tap, 8), I64))
        values = [v.read(v.add(here, j * VECTOR), v.type) for j in range(vectors)]
        factors = [v.all(v.read(v.add(weight, b * v.size), v.number)) for b in range(outputs)]
        return [v.fused(factors[k // vectors], values[k % vectors], sums[k]) for k in range(len(sums))]

    sums, least = v.loop(count, 1, start, add_tap), v.all(floor)
    for place, value in zip(places, sums, strict=True):
        v.write(builder.select(builder.fcmp_ordered("<", value, least), least, value), place)  # keeps NaN


@intrinsic
def weights(typing, outputs, dy, stride, dy_row, taps, x_row, rows, count, sums, zero):
    """Adds to up to PAIR times TAPS vectors of sums: products of dy's channels with what the taps point to.

    taps: TAPS addresses.
    stride, dy_row, x_row: bytes to the next channel of dy, and to the next row.
    rows: at least one.
    count: of numbers in a row, a multiple of AT_ONCE vectors of them, at least one.
    """

    def generate(context, builder, signature, arguments):
        outputs, *rest = arguments
        v = _Vectors(context, builder, zero)
        v.choose(outputs, [functools.partial(_products, v, each, *rest) for each in range(1, PAIR + 1)])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9, zero), generate


def _products(v, outputs, dy, stride, dy_row, taps, x_row, rows, count, sums, _):
    """Of `weights`, for one number of channels."""
    places = [v.add(sums, k * VECTOR) for k in range(outputs * TAPS)]

    def add_row(r, held):
        mul = v.builder.mul
        given = [v.add(v.add(dy, mul(stride, I64(b))), mul(r, dy_row)) for b in range(outputs)]
        reached = [v.add(v.read(v.add(taps, 8 * t), I64), mul(r, x_row)) for t in range(TAPS)]

        def add_vectors(i, held):
            for j in range(AT_ONCE):
                offset = v.add(mul(i, I64(v.size)), j * VECTOR)
                factors = [v.read(v.add(address, offset), v.type) for address in given]
                values = [v.read(v.add(address, offset), v.type) for address in reached]
                held = [v.fused(factors[k // TAPS], values[k % TAPS], held[k]) for k in range(len(held))]
            return held

        return v.loop(count, AT_ONCE * v.lanes, held, add_vectors)

    after = v.loop(rows, 1, [v.read(place, v.type) for place in places], add_row)
    for place, value in zip(places, after, strict=True):
        v.write(value, place)


wide_pixel, narrow_pixel = _pixels(WIDE), _pixels(1)
