"""QUANTIZE."""

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Quantize:
    """int8 to int8 with another scale."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.rescaled(node, node.scale(node.input(0))[0] / node.scale(node.output())[0])
