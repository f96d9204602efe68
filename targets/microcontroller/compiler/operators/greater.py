"""GREATER."""

from targets.microcontroller.compiler import comparison
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Greater:
    """int8 tensors to truths, broadcast against each other."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return comparison.lower(node, "g")
