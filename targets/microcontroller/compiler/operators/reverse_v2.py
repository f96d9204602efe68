"""REVERSE_V2."""

import numpy as np

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class ReverseV2:
    """Any dtype."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        base = moves.canvas(source)
        axes = tuple(moves.axis(node, value, base.ndim) for value in node.integers(1, "axes"))
        return moves.rearranged(node, moves.block(base, np.flip(base, axes)))
