"""The exponentials of integer softmax, computed as gemmlowp's fixed point does (fixedpoint.h: exp_on_negative_values)."""

import numpy as np
from numpy.typing import NDArray

from targets.microcontroller.compiler.fixed_point import OutOfRangeError, quantize_multiplier, rounding_shift
from targets.microcontroller.compiler.node import Node

INTEGER_BITS = 5
"""A difference of two inputs is held in Q5.26."""
QUARTER = 1 << (31 - INTEGER_BITS - 2)
MOST = 1 << 12
"""Exponentials of up to 1 that a sum in Q12.19 holds."""
EXPONENTIALS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(-1/4), exp(-1/2), …, exp(-16) in Q0.31."""


def require_depth(node: Node) -> int:
    """The size of the last axis of input 0. Refuses one with which the sum of exponentials may leave 32 bits."""
    depth = node.input(0).shape[-1]
    if depth >= MOST:
        raise node.refuse(f"its sum of {depth} exponentials may leave 32 bits", f"use fewer than {MOST}")
    return depth


def table(scale: float, beta: float, differences: int = 256) -> NDArray[np.int32]:
    """exp(-d * beta * scale) in Q0.31 for d = 0, 1, …, as far as the reference doesn't count it as 0; int32 [at most `differences`]."""
    multiplier, shift = _scaling(scale, beta)
    steps = range(min(radius(scale, beta), differences - 1) + 1)
    return np.array([_exponential(_high(-step << shift, multiplier)) for step in steps], np.int32)


def radius(scale: float, beta: float) -> int:
    """The largest difference whose exponential the reference doesn't count as 0."""
    return ((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) >> _scaling(scale, beta)[1]


def _scaling(scale: float, beta: float) -> tuple[int, int]:
    multiplier, right = quantize_multiplier(min(beta * scale * (1 << (31 - INTEGER_BITS)), 2.0**31 - 1))
    if right > 0:
        raise OutOfRangeError(f"steps of {beta * scale:g} are too small for exponentials")
    return multiplier, -right


def _exponential(value: int) -> int:
    """exp(value) in Q0.31, value <= 0 in Q5.26."""
    if value == 0:
        return 2**31 - 1
    fraction = (value & (QUARTER - 1)) - QUARTER
    result = _taylor(fraction << INTEGER_BITS)
    remainder = fraction - value
    for bit, factor in enumerate(EXPONENTIALS):
        if remainder & (QUARTER << bit):
            result = _high(result, factor)
    return result


def _taylor(value: int) -> int:
    """exp(value) for value in [-1/4, 0) in Q0.31, as a series around -1/8."""
    x = value + (1 << 28)
    square = _high(x, x)
    cube, fourth = _high(square, x), _high(square, square)
    tail = rounding_shift(_high(rounding_shift(fourth, 2) + cube, 715827883) + square, 1)
    return 1895147668 + _high(1895147668, x + tail)


def _high(first: int, second: int) -> int:
    return (first * second + (1 << 30)) >> 31
