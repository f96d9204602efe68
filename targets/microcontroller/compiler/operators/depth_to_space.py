"""DEPTH_TO_SPACE."""

from targets.formats.tflite_options import BlockOptions
from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class DepthToSpace:
    """Any dtype, [1, height, width, channels]."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        node.require_rank(source, 4)
        block = node.options(BlockOptions).block_size
        batch, height, width, channels = source.shape
        if block < 1 or channels % (block * block):
            raise node.refuse(f"{channels} channels don't make blocks of {block}", "export the model again")
        base = moves.canvas(source)
        taken = base.reshape(batch, height, width, block, block, channels // block**2).transpose(0, 1, 3, 2, 4, 5)
        return moves.rearranged(node, moves.block(base, taken))
