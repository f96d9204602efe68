"""LEAKY_RELU."""

import math

import numpy as np

from targets.formats.tflite_options import LeakyReluOptions
from targets.microcontroller.compiler import pointwise, unary
from targets.microcontroller.compiler.fixed_point import multiply, quantize_multiplier
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import real


class LeakyRelu:
    """int8, int16 or float32; the slope may be negative."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        alpha = node.options(LeakyReluOptions).alpha
        if not math.isfinite(alpha):
            raise node.refuse(f"its slope is {alpha}", "export the model again")
        if node.output().dtype == "float32":
            return pointwise.floats(node, "ep_leaky_relu", real(float(np.float32(alpha))))
        scale, zero_point = node.scale(node.input(0))
        output_scale, output_zero_point = node.scale(node.output())
        slope = float(np.float32(scale) * np.float32(abs(alpha)) / np.float32(output_scale))
        ratio = float(np.float32(scale) / np.float32(output_scale))
        sign = -1 if alpha < 0 else 1
        if node.output().dtype == "int16":
            return pointwise.rescaled(node, ratio, below=sign * slope)
        below, above = quantize_multiplier(slope), quantize_multiplier(ratio)

        def apply(value: int) -> int:
            difference = value - zero_point
            scaled = multiply(difference, *above) if difference >= 0 else sign * multiply(difference, *below)
            return scaled + output_zero_point

        return unary.tabulate(node, apply)
