# mypy: allow-untyped-defs, disable-error-code="call-arg"
"""1 / (1 + exp(-x)) without a call, so that compilers make loops over vectors of it (in 32 bits; 64 are for tests).

exp(t) = 2**n * exp(r) with r = t - n * log(2), at most log(2) / 2, whose exponential is a polynomial (Cephes).
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

LIMIT = np.float32(87)  # exp(-87) is about the smallest number of full precision
ONE, BIAS, ROUNDING = np.float32(1), np.float32(127), np.float32(127.5)
LOG2_E, LOG_2, LOG_2_REST = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
P0, P1, P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
P3, P4, P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)


@intrinsic
def _power_of_two(typing, biased):
    """2**(biased - 127)."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(builder.shl(arguments[0], ir.Constant(ir.IntType(32), 23)), ir.FloatType())

    return types.float32(types.int32), generate


def sigmoid(x):
    """Of a number, in compiled code."""
    return 1 / (1 + math.exp(-x))


@overload(sigmoid, inline="always")
def _sigmoid(x):
    return _of_float32 if x == types.float32 else _of_float64


def _of_float32(x):
    t = -x
    t = LIMIT if t > LIMIT else t
    t = -LIMIT if t < -LIMIT else t
    biased = np.int32(t * LOG2_E + ROUNDING)
    n = np.float32(biased) - BIAS
    r = t - n * LOG_2 - n * LOG_2_REST
    p = ((((P0 * r + P1) * r + P2) * r + P3) * r + P4) * r + P5
    return ONE / (ONE + _power_of_two(biased) * (p * r * r + r + ONE))


def _of_float64(x):
    return 1.0 / (1.0 + math.exp(-x))
