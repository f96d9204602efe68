"""PADV2."""

from targets.microcontroller.compiler import padding
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Padv2:
    """Any dtype, filled with a constant."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        value = node.constant(2, "filling").ravel()
        if value.size != 1 or value.dtype != node.output().dtype:
            raise node.refuse(f"its filling is {value.dtype} {list(value.shape)}", "export it as one number of the output's dtype")
        return padding.lower(node, value[0])
