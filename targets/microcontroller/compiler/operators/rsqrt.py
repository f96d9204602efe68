"""RSQRT."""

import numpy as np

from targets.microcontroller.compiler import interpolation, unary
from targets.microcontroller.compiler.fixed_point import inverse_square_root, multiply, quantize_multiplier
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node

RAISED = 20
"""Bits that the reference holds a root with."""


class Rsqrt:
    """int8, in the fixed point of the reference, or int16; the highest number at 0, and below, where the reference gives up."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "int16":
            return _wide(node)
        zero_point = node.scale(node.input(0))[1]
        scale, output_zero_point = node.scale(node.output())
        root = float(np.sqrt(np.float32(node.scale(node.input(0))[0])))
        multiplier, shift = quantize_multiplier(1.0 / float(np.float32(root) * np.float32(scale)))

        def apply(value: int) -> int:
            if value <= zero_point:
                return 127
            inverse, right = inverse_square_root(value - zero_point)
            return multiply(multiply(1, inverse, right - RAISED), multiplier, shift + RAISED) + output_zero_point

        return unary.tabulate(node, apply)


def _wide(node: Node) -> Layer:
    highest = np.float32(2**15 - 1) * np.float32(node.scale(node.output())[0])
    return interpolation.real(node, lambda value: highest if value <= 0 else np.float32(1) / np.sqrt(value))
