"""SUM, by the formula in LiteRT's sources; the reference kernel that LiteRT 2.3 ships is wrong by up to the whole range."""

from targets.microcontroller.compiler import reduction
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Sum:
    """int8, over any axes."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return reduction.lower(node, mean=False)
