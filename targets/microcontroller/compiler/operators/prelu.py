"""PRELU."""

import numpy as np

from targets.microcontroller.compiler import arithmetic
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Prelu:
    """int8, with slopes that are broadcast."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32":
            return arithmetic.floats(node, "p")
        source, slopes = (np.float32(node.scale(node.input(position))[0]) for position in (0, 1))
        scale, zero_point = node.scale(node.output())
        above = arithmetic.multiplier(node, "first", float(source / np.float32(scale)))
        below = arithmetic.multiplier(node, "output", float(source * slopes / np.float32(scale)))
        limits = {"output_zero_point": zero_point, "lowest": -128, "highest": 127}
        return arithmetic.layer(node, "p", arithmetic.zero_points(node) | above | below | limits)
