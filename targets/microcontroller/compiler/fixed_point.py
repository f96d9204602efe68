"""TFLite's fixed-point arithmetic at compile time: what the kernels get as integers is computed here, in the reference's own steps.

Follows TFLite's 8-bit quantization specification (ai.google.dev/edge/litert, "quantization spec") and appendix B of Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018).
"""

import math

import numpy as np
from numpy.typing import NDArray

from targets.formats.tflite_options import Activation

LARGEST_MULTIPLIER = 2.0**30
REAL_LIMITS: dict[Activation, tuple[float | None, float | None]] = {
    Activation.NONE: (None, None),
    Activation.RELU: (0.0, None),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
    Activation.RELU6: (0.0, 6.0),
}


class OutOfRangeError(ValueError):
    """A scale, or a ratio of scales, that the kernels' integers can't express."""


def quantize_multiplier(value: float) -> tuple[int, int]:
    """A real multiplier as (fraction, shift): value = fraction * 2**-31 * 2**-shift, rounded half up; (0, 0) below 2**-32.

    The shift goes to the right, as the kernels take it; the reference's goes to the left. OutOfRangeError from 2**30 on.
    """
    if not value < LARGEST_MULTIPLIER:
        raise OutOfRangeError(f"a multiplier of {value:g} is out of range")
    if value == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(value)
    fraction = math.floor(mantissa * 2**31 + 0.5)
    if fraction == 2**31:
        fraction, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (fraction, -shift)


def multipliers(values: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """`quantize_multiplier` of each of [channels] values, as int32 and int8 [channels]."""
    pairs = [quantize_multiplier(float(value)) for value in values]
    return np.array([pair[0] for pair in pairs], np.int32), np.array([pair[1] for pair in pairs], np.int8)


def multiply(value: int, multiplier: int, shift: int) -> int:
    """value * multiplier * 2**-31 * 2**-shift with the reference's two roundings: half up, then half away from zero."""
    left, right = max(-shift, 0), max(shift, 0)
    high = ((value << left) * multiplier + (1 << 30)) >> 31
    return rounding_shift(high, right)


def rounding_shift(value: int, bits: int) -> int:
    """value / 2**bits, rounded half away from zero."""
    half = (1 << bits) >> 1
    return (value + half - (value < 0 < bits)) >> bits


def activation_limits(activation: Activation, scale: float, zero_point: int, dtype: str) -> tuple[int, int]:
    """The integers between which a fused activation keeps an output."""
    limits = np.iinfo(dtype)
    low, high = REAL_LIMITS[activation]
    return (
        limits.min if low is None else max(int(limits.min), quantize(low, scale, zero_point)),
        limits.max if high is None else min(int(limits.max), quantize(high, scale, zero_point)),
    )


def quantize(value: float, scale: float, zero_point: int) -> int:
    """A real value's integer, unsaturated; float32 division, half away from zero."""
    return zero_point + round_half_away(float(np.float32(value) / np.float32(scale)))


def round_half_away(value: float) -> int:
    """The nearest whole number, the one further from zero where two are as near."""
    whole = math.trunc(value)
    return whole + int(math.copysign(1, value)) if abs(value - whole) >= 0.5 else whole


def exact_multiplier(scale: float, largest: int, lowest: int, highest: int) -> tuple[int, int]:
    """(multiplier, shift) with which (sum * multiplier + half) >> shift is round(double(sum) * scale), half away from zero.

    The two agree on every sum up to `largest` in magnitude wherever the result lies in [lowest, highest] or would be clamped to it; the
    product stays within 63 bits. Both are steps that only rise, so it is enough that each step is at the same sum. ValueError where no
    multiplier of that width does it.
    """
    if largest * scale < 0.5:
        return 0, 1
    shift = min(62 - largest.bit_length() - math.frexp(scale)[1], 62)
    if shift < 1:
        raise ValueError(f"scale {scale} is out of range")
    low, high = 0, 2**62
    for value in range(lowest + 1, highest + 1):
        first = _first_sum(scale, value)
        if abs(first) < largest:
            limits = _limits(first, (value << shift) - (1 << (shift - 1)))
            low, high = max(low, limits[0]), min(high, limits[1])
    if low > high:
        raise ValueError(f"scale {scale} has no exact multiplier")
    return min(max(math.floor(math.ldexp(scale, shift)), low), high), shift


def _limits(first: int, target: int) -> tuple[int, int]:
    """The multipliers with which `first`, and no smaller sum, reaches the target: lowest and highest."""
    low, high = 0, 2**62
    if first > 0:
        low = -(-target // first)
    elif first < 0:
        high = target // first
    before = first - 1
    if before > 0:
        high = min(high, -(-target // before) - 1)
    elif before < 0:
        low = max(low, target // before + 1)
    return low, high


def _first_sum(scale: float, value: int) -> int:
    """The smallest sum for which round(double(sum) * scale) reaches `value`."""
    at = math.floor((value - 0.5) / scale) - 2
    while round_half_away(at * scale) < value:
        at += 1
    return at


def inverse_square_root(value: int) -> tuple[int, int]:
    """1 / sqrt(value) as (fraction, right shift) for `multiply`; five steps of Newton and Raphson's method in Q3.28, as in the kernels."""
    if value <= 1:
        return 2**31 - 1, 0
    right = 11
    while value >= 2**29:
        value, right = value // 4, right + 1
    pairs = (31 - value.bit_length()) // 2 - 1
    half = rounding_shift(value << 2 * pairs >> 1, 1)
    root = 1 << 28
    for _ in range(5):
        cube = _high(_high(root, root), root) << 6
        root = (_high(3 << 27, root) - _high(half, cube)) << 3
    root = _high(root, 1518500250)
    right -= pairs
    return root << max(-right, 0), max(right, 0)


def _high(first: int, second: int) -> int:
    return (first * second + (1 << 30)) >> 31
