"""NEG."""

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Neg:
    """int8 of scales that stay and zero points of 0, as the specification has it; -128 stays as it is."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        node.same_scale(node.input(0), node.output())
        if node.scale(node.output())[1]:
            raise node.refuse("its zero point isn't 0", "quantize its input symmetrically")
        return unary.tabulate(node, lambda value: value if value == -128 else -value)
