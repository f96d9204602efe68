"""PACK."""

import numpy as np

from targets.formats.tflite_options import PackOptions
from targets.microcontroller.compiler import moves, operands
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Pack:
    """Any dtype, all of one scale, joined along a new axis."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        positions = range(len(node.operator.inputs))
        sources = moves.checked(node, *positions, constants=True)
        names, constants = operands.named(node, *positions)
        base = moves.canvas(node.output())
        axis = moves.axis(node, node.options(PackOptions).axis, base.ndim)
        if len(sources) != base.shape[axis]:
            raise node.refuse(f"it joins {len(sources)} inputs along an axis of {base.shape[axis]}", "export the model again")
        statements = []
        for position, source in enumerate(sources):
            whole = moves.canvas(source)
            made = moves.block(base, np.moveaxis(base, axis, 0)[position, ...])
            statements.append(moves.move(node, names[position], moves.block(whole, whole), "y0", made))
        return moves.layer(statements, constants)
