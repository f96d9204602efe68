"""UNPACK."""

import numpy as np

from targets.formats.tflite_options import PackOptions
from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Unpack:
    """Any dtype: one output for each entry of an axis."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        base = moves.canvas(source)
        axis = moves.axis(node, node.options(PackOptions).axis, base.ndim)
        if len(node.operator.outputs) != base.shape[axis]:
            raise node.refuse(f"it makes {len(node.operator.outputs)} outputs of an axis of {base.shape[axis]}", "export the model again")
        entries = np.moveaxis(base, axis, 0)
        return moves.scattered(node, [moves.block(base, entries[index, ...]) for index in range(len(entries))])
