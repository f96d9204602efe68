"""RELU_0_TO_1."""

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Relu0To1:
    """int8, rescaled where the scales differ."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.clipped(node, lowest=0.0, highest=1.0)
