"""BROADCAST_TO."""

import numpy as np

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class BroadcastTo:
    """Any dtype."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        base = moves.canvas(source)
        try:
            taken = np.broadcast_to(base, node.output().shape)
        except ValueError:
            raise node.refuse(f"{list(source.shape)} can't become {list(node.output().shape)}", "export the model again") from None
        return moves.rearranged(node, moves.block(base, taken))
