"""RELU_N1_TO_1."""

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class ReluN1To1:
    """int8, rescaled where the scales differ."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.clipped(node, lowest=-1.0, highest=1.0)
