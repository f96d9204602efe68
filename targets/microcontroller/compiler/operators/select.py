"""SELECT."""

from targets.microcontroller.compiler import selection
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Select:
    """Any dtype, of one scale; truths may be as many as the first axis has entries, one for each."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        truths = node.input(0).shape
        rank = len(node.output().shape)
        return selection.lower(node, (*truths, *(1,) * (rank - 1)) if len(truths) == 1 and rank else truths)
