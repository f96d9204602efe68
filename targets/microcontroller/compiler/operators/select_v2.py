"""SELECT_V2."""

from targets.microcontroller.compiler import selection
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class SelectV2:
    """Any dtype, of one scale, all three broadcast."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return selection.lower(node)
