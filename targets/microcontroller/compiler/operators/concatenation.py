"""CONCATENATION."""

from targets.formats.tflite_options import Activation, ConcatenationOptions
from targets.microcontroller.compiler import moves, operands
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Concatenation:
    """Any dtype, all of one scale, no fused activation."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.options(ConcatenationOptions).activation != Activation.NONE:
            raise node.refuse("it has a fused activation", "export the activation as an operator of its own")
        positions = range(len(node.operator.inputs))
        sources = moves.checked(node, *positions, constants=True)
        names, constants = operands.named(node, *positions)
        base = moves.canvas(node.output())
        axis = moves.axis(node, node.options(ConcatenationOptions).axis, base.ndim)
        statements, start = [], 0
        for position, source in enumerate(sources):
            whole = moves.canvas(source)
            cut = [slice(None)] * base.ndim
            cut[axis] = slice(start, start + (source.shape[axis] if whole.ndim == base.ndim else 0))
            start = cut[axis].stop
            made = moves.block(base, base[tuple(cut)])
            statements.append(moves.move(node, names[position], moves.block(whole, whole), "y0", made))
        if start != base.shape[axis]:
            raise node.refuse(f"its inputs fill {start} of {base.shape[axis]} entries of axis {axis}", "export the model again")
        return moves.layer(statements, constants)
