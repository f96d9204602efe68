"""int8 operators of one input: each is a table of 256 numbers, computed here as the reference computes one."""

from collections.abc import Callable

import numpy as np

from targets.microcontroller.compiler import fixed_point, pointwise
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node

BEYOND = 1024.0
"""Outside of every int8, with any zero point."""


def tabulate(node: Node, function: Callable[[int], int]) -> Layer:
    """A layer that looks up `function` of an int8; results are saturated."""
    source, output = node.input(0), node.output()
    for tensor in (source, output):
        node.require_dtype(tensor, "int8")
    if source.elements != output.elements or source.data is not None:
        raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}", "export the model again")
    values = [max(-128, min(127, function(value))) for value in (*range(128), *range(-128, 0))]
    return Layer(
        body=f"ep_lookup({source.elements}, x0, table, y0);",
        headers=("edgepress_elementwise.h",),
        constants=(Constant("table", np.array(values, np.int8)),),
        in_place={0: 0},
    )


def real(node: Node, function: Callable[[np.float32], float | np.float32]) -> Layer:
    """A layer for a function of real numbers: dequantized, applied, quantized, each step in float32.

    The function has to round where the reference does: one step in float64 more, and a tie may fall to the other side.
    """
    scale, zero_point = node.scale(node.input(0))
    output_scale, output_zero_point = node.scale(node.output())
    inverse = np.float32(1) / np.float32(output_scale)

    def apply(value: int) -> int:
        made = np.float32(function(np.float32(scale) * np.float32(value - zero_point)))
        with np.errstate(over="ignore"):
            steps = float(made * inverse)
        return fixed_point.round_half_away(max(-BEYOND, min(BEYOND, steps))) + output_zero_point

    return tabulate(node, apply)


def clipped(node: Node, lowest: float, highest: float | None = None) -> Layer:
    """A layer that keeps its numbers between two real limits and gives them another scale; the reference divides scales in float32."""
    if node.output().dtype == "float32":
        return pointwise.clipped_floats(node, lowest, highest)
    ratio = np.float32(node.scale(node.input(0))[0]) / np.float32(node.scale(node.output())[0])
    if node.output().dtype == "int16":
        return pointwise.rescaled(node, float(ratio), lowest, highest)
    return rescaled(node, float(ratio), lowest, highest)


def rescaled(node: Node, ratio: float, lowest: float | None = None, highest: float | None = None) -> Layer:
    """A layer that multiplies real numbers' integers by `ratio`, the input's scale over the output's, and keeps them between two limits."""
    zero_point = node.scale(node.input(0))[1]
    output_scale, output_zero_point = node.scale(node.output())
    multiplier, shift = fixed_point.quantize_multiplier(ratio)
    low = -128 if lowest is None else max(-128, fixed_point.quantize(lowest, output_scale, output_zero_point))
    high = 127 if highest is None else min(127, fixed_point.quantize(highest, output_scale, output_zero_point))

    def apply(value: int) -> int:
        return min(max(fixed_point.multiply(value - zero_point, multiplier, shift) + output_zero_point, low), high)

    return tabulate(node, apply)
