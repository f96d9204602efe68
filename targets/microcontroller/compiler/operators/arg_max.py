"""ARG_MAX."""

from targets.microcontroller.compiler import extremes
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class ArgMax:
    """int8 to int32 or int64 along an axis; of equal ones the first."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return extremes.lower(node, largest=True)
