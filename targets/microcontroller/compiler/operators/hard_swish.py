"""HARD_SWISH."""

import numpy as np

from targets.microcontroller.compiler import pointwise, unary
from targets.microcontroller.compiler.fixed_point import quantize_multiplier, rounding_shift
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node

LARGEST = 2**15 - 1
THREE = np.float32(3.0) / np.float32(32768.0)
"""The scale on which 3, where the function becomes the identity, is 32768."""


class HardSwish:
    """int8, in the 16-bit fixed point of the reference."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32":
            return pointwise.floats(node, "ep_hard_swish")
        scale, zero_point = node.scale(node.input(0))
        output_scale, output_zero_point = node.scale(node.output())
        fine = np.float32(1 / 128) * np.float32(scale)
        output_factor, output_shift = _short(float(fine / np.float32(output_scale)))
        relu_factor, relu_shift = _short(float(fine / THREE))
        if output_shift < 0:
            raise node.refuse("its output's scale is too small for its input's", "quantize the model again")

        def apply(value: int) -> int:
            raised = (value - zero_point) * 128
            ramp = raised
            if relu_shift < 0:
                ramp = _saturated(ramp << (-relu_shift - 1))
            ramp = _doubling_high(ramp, relu_factor)
            if relu_shift < 0:
                ramp = _saturated(ramp << 1)
            ramp = rounding_shift(ramp, max(relu_shift, 0))
            share = (ramp + 2**15) >> 1
            product = share * _doubling_high(raised, output_factor)
            towards_zero = abs(product) // 2**15 * (1 if product >= 0 else -1)
            return rounding_shift(towards_zero, output_shift) + output_zero_point

        return unary.tabulate(node, apply)


def _short(value: float) -> tuple[int, int]:
    """A multiplier of 15 bits and its right shift."""
    multiplier, shift = quantize_multiplier(value)
    return (multiplier + 2**15) >> 16 if multiplier < 2**31 - 1 - 2**15 else LARGEST, shift


def _doubling_high(first: int, second: int) -> int:
    return _saturated((first * second + 2**14) >> 15)


def _saturated(value: int) -> int:
    return min(max(value, -(2**15)), LARGEST)
