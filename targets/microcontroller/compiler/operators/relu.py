"""RELU."""

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Relu:
    """int8, int16 or float32, rescaled where the scales differ."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.clipped(node, lowest=0.0)
