"""LOGISTIC, TANH and SOFTMAX of int16, by the tables that TFLite's reference has (common.h: LUTPopulate, sigmoid_table_uint16)."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from targets.microcontroller.compiler.fixed_point import quantize_multiplier, round_half_away
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node

STEPS = 512
LOWEST, HIGHEST = -(2**15), 2**15 - 1
UNIT = 2.0**-15
"""The scale of an output between -1 and 1."""
EXPONENTS = 10.0 / 65535.0
"""The scale on which softmax looks up the exponentials of 0 to -10."""
MOST = 1 << 16
"""Exponentials of up to 1 that a sum in Q16.15 holds."""
HEADERS = ("edgepress_tables_int16.h",)
OTHER_SCALE = "its output hasn't scale 1/32768, or its input's is above 1"


def sigmoid(node: Node, tangent: bool) -> Layer:
    """The layer for LOGISTIC or TANH."""
    _require(node)
    multiplier, shift = _table_scale(node.scale(node.input(0))[0], (-12, -11) if tangent else (-12,))
    if multiplier > HIGHEST:
        raise node.refuse(OTHER_SCALE, "quantize the model again")
    size = node.output().elements
    return Layer(
        body=f"ep_sigmoid({size}, {int(tangent)}, {multiplier}, {shift}, x0, table, y0);",
        headers=HEADERS,
        constants=(Constant("table", _sigmoid_table()),),
        in_place={0: 0},
    )


def softmax(node: Node, beta: float) -> Layer:
    """The layer for SOFTMAX over the last axis."""
    _require(node)
    ratio = float(np.float32(node.scale(node.input(0))[0]) * np.float32(beta)) / EXPONENTS
    multiplier, shift = quantize_multiplier(ratio)
    if not -15 < shift < 31:
        raise node.refuse("its scale and beta are out of range", "quantize the model again")
    depth = node.input(0).shape[-1]
    if depth > MOST:
        raise node.refuse(f"its sum of {depth} exponentials may leave 32 bits", f"use at most {MOST}")
    exponentials = _interpolation(math.exp, EXPONENTS, HIGHEST)
    reciprocals = _interpolation(lambda x: 1.0 / (1.0 + x), 1.0 / 65535.0, LOWEST)
    rows = node.input(0).elements // depth
    return Layer(
        body=f"ep_softmax_int16({rows}, {depth}, {multiplier}, {shift}, x0, exponentials, reciprocals, y0);",
        headers=HEADERS,
        constants=(Constant("exponentials", exponentials), Constant("reciprocals", reciprocals)),
        in_place={0: 0},
    )


def _require(node: Node) -> None:
    node.require_dtype(node.output(), "int16")
    node.require_symmetric(node.input(0))
    node.require_symmetric(node.output())
    if node.scale(node.output())[0] != UNIT:
        raise node.refuse(OTHER_SCALE, "quantize the model again")


def _table_scale(scale: float, exact: tuple[int, ...]) -> tuple[int, int]:
    """(multiplier, right shift) from the input's scale to the table's, 1/3 of 2**-12; powers of two among `exact` need no rounding."""
    power = round(math.log2(scale))
    if abs(math.log2(scale) - power) < 1e-3 and power in exact:
        return 3 << (power + 12), 0
    multiplier, shift = scale * 4096.0 * 3.0, 0
    while multiplier <= HIGHEST / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2.0, shift + 1
    return int(multiplier), shift


def _sigmoid_table() -> NDArray[np.uint16]:
    """The logistic function at every 24th of 1 in Q0.16, shifted so that lines between the entries err as much above it as below."""

    def value(step: float) -> float:
        return 65536.0 / (1.0 + math.exp(-step / 24.0))

    bent = [value(step) + (value(step + 0.5) - (value(step) + value(step + 1)) / 2) / 2 for step in range(255)]
    return np.array([*(round_half_away(entry) for entry in bent), 65535], np.uint16)


def _interpolation(function: Callable[[float], float], scale: float, zero_point: int) -> NDArray[np.int16]:
    """A function at 513 places over all int16 numbers of a scale and zero point, for outputs from -1 to 1."""
    lowest, highest = scale * (LOWEST - zero_point), scale * (HIGHEST - zero_point)
    step = (highest - lowest) / STEPS
    output = 2.0 / 65535.0
    inverse = 65536.0 / (output * HIGHEST - output * LOWEST)
    entries = []
    for index in range(STEPS):
        entry = round_half_away(function(lowest + index * step) * inverse)
        middle = round_half_away(function(lowest + index * step + step / 2) * inverse)
        line = round_half_away((function(lowest + (index + 1) * step) * inverse + entry) / 2)
        entries.append(entry - round_half_away((line - middle) / 2))
    entries.append(round_half_away(function(highest) * inverse))
    return np.clip(entries, LOWEST, HIGHEST).astype(np.int16)
