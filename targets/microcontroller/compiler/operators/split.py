"""SPLIT."""

import numpy as np

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Split:
    """Any dtype: equal parts along an axis."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 1)
        base = moves.canvas(source)
        axis = moves.axis(node, node.integers(0, "axis")[0], base.ndim)
        parts = len(node.operator.outputs)
        if not parts or base.shape[axis] % parts:
            raise node.refuse(f"an axis of {base.shape[axis]} doesn't split into {parts}", "export the model again")
        return moves.scattered(node, [moves.block(base, part) for part in np.split(base, parts, axis)])
