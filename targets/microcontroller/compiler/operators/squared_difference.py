"""SQUARED_DIFFERENCE."""

import numpy as np

from targets.microcontroller.compiler import arithmetic
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node

RAISED = 1 << 14
"""Both inputs are brought to a common scale with 7 more bits, and then squared."""


class SquaredDifference:
    """int8 tensors, broadcast against each other."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32":
            return arithmetic.floats(node, "d")
        scaled, twice = arithmetic.common_scale(node)
        scale, zero_point = node.scale(node.output())
        output = arithmetic.multiplier(node, "output", twice * twice / float(np.float32(RAISED) * np.float32(scale)))
        limits = {"output_zero_point": zero_point, "lowest": -128, "highest": 127}
        return arithmetic.layer(node, "d", arithmetic.zero_points(node) | scaled | output | limits)
