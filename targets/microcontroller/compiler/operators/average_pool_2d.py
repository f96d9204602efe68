"""AVERAGE_POOL_2D."""

from targets.microcontroller.compiler import pooling
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class AveragePool2d:
    """int8 [1, height, width, channels], rounded half away from zero."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return pooling.lower(node, average=True)
