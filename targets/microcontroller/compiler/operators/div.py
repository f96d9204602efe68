"""DIV, but for two cases in which LiteRT's kernel is wrong: quotients so small that it shifts by more than 31 bits, and divisors of 0."""

import numpy as np

from targets.formats.tflite_options import ArithmeticOptions
from targets.microcontroller.compiler import arithmetic, convolution
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Div:
    """int8 tensors, broadcast against each other."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32":
            return arithmetic.floats(node, "/")
        first, second, output = (np.float32(node.scale(tensor)[0]) for tensor in (node.input(0), node.input(1), node.output()))
        limits = convolution.clamp(node, node.options(ArithmeticOptions).activation, node.output())
        ratio = arithmetic.multiplier(node, "output", float(first / (second * output)))
        return arithmetic.layer(node, "/", arithmetic.zero_points(node) | ratio | limits)
