"""MEAN."""

from targets.microcontroller.compiler import reduction
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Mean:
    """int8, over any axes."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return reduction.lower(node, mean=True)
