"""LOGICAL_AND."""

from targets.microcontroller.compiler import arithmetic
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class LogicalAnd:
    """Truths, broadcast against each other."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return arithmetic.layer(node, "&", {}, "bool", "bool")
