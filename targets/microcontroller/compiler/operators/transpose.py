"""TRANSPOSE."""

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Transpose:
    """Any dtype."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        order = node.integers(1, "permutation")
        base = moves.canvas(source)
        if sorted(order) != list(range(base.ndim)):
            raise node.refuse(f"its permutation is {list(order)}", "export the model again")
        return moves.rearranged(node, moves.block(base, base.transpose(order)))
