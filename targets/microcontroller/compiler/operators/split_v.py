"""SPLIT_V."""

import numpy as np

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class SplitV:
    """Any dtype: parts of given sizes along an axis."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        base = moves.canvas(source)
        axis = moves.axis(node, node.integers(2, "axis")[0], base.ndim)
        sizes = [node.output(position).shape[axis] for position in range(len(node.operator.outputs))]
        if sum(sizes) != base.shape[axis]:
            raise node.refuse(f"an axis of {base.shape[axis]} doesn't split into {sizes}", "export the model again")
        return moves.scattered(node, [moves.block(base, part) for part in np.split(base, np.cumsum(sizes)[:-1], axis)])
