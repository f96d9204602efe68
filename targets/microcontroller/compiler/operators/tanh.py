"""TANH."""

import math

from targets.microcontroller.compiler import pointwise, tables, unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Tanh:
    """int8, int16 or float32."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32":
            return pointwise.floats(node, "ep_tanh")
        if node.output().dtype == "int16":
            return tables.sigmoid(node, tangent=True)
        return unary.real(node, math.tanh)
