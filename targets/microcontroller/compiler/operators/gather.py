"""GATHER."""

from targets.formats.tflite_options import GatherOptions
from targets.microcontroller.compiler import gathering, moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Gather:
    """Any dtype; an index beyond the axis takes its first or last entry."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        options = node.options(GatherOptions)
        axis = moves.axis(node, options.axis, len(node.input(0).shape))
        batch_axes = options.batch_dims + (len(node.input(1).shape) if options.batch_dims < 0 else 0)
        return gathering.lower(node, 0, 1, axis, batch_axes)
