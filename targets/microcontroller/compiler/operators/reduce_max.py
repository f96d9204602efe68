"""REDUCE_MAX."""

from targets.microcontroller.compiler import reduction
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class ReduceMax:
    """int8 of one scale, over any axes."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return reduction.extreme(node, largest=True)
