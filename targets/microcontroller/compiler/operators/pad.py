"""PAD."""

from targets.microcontroller.compiler import padding
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Pad:
    """Any dtype, filled with the zero point."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return padding.lower(node, node.scale(node.output())[1] if node.output().quantization is not None else 0)
