"""ABS."""

import numpy as np

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.fixed_point import multiply, quantize_multiplier
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Abs:
    """int8, rescaled where the scales differ."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        zero_point = node.scale(node.input(0))[1]
        output_zero_point = node.scale(node.output())[1]
        ratio = np.float32(node.scale(node.input(0))[0]) / np.float32(node.scale(node.output())[0])
        multiplier, shift = quantize_multiplier(float(ratio))

        def apply(value: int) -> int:
            size = abs(value - zero_point)
            return (size if ratio == 1 else multiply(size, multiplier, shift)) + output_zero_point

        return unary.tabulate(node, apply)
