"""LOG."""

import math

import numpy as np

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Log:
    """int8; the lowest number for what has no logarithm."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        scale, zero_point = node.scale(node.output())
        lowest = float(np.float32(-128 - zero_point) * np.float32(scale))
        return unary.real(node, lambda value: math.log(value) if value > 0.0 else lowest)
