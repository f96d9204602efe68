"""TILE."""

import numpy as np

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Tile:
    """Any dtype."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        base, repeats = moves.canvas(source), node.integers(1, "repeats")
        if len(repeats) != base.ndim or node.output().shape != tuple(
            size * count for size, count in zip(base.shape, repeats, strict=False)
        ):
            raise node.refuse(f"{list(base.shape)} times {list(repeats)} isn't {list(node.output().shape)}", "export the model again")
        pairs = tuple(entry for pair in zip(repeats, base.shape, strict=True) for entry in pair)
        spread = base.reshape([entry for size in base.shape for entry in (1, size)])
        return moves.rearranged(node, moves.block(base, np.broadcast_to(spread, pairs)))
