"""SPACE_TO_DEPTH."""

from targets.formats.tflite_options import BlockOptions
from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class SpaceToDepth:
    """Any dtype, [1, height, width, channels]."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        node.require_rank(source, 4)
        block = node.options(BlockOptions).block_size
        batch, height, width, channels = source.shape
        if block < 1 or height % block or width % block:
            raise node.refuse(f"blocks of {block} don't fit {height} x {width}", "export the model again")
        base = moves.canvas(source)
        taken = base.reshape(batch, height // block, block, width // block, block, channels).transpose(0, 1, 3, 2, 4, 5)
        return moves.rearranged(node, moves.block(base, taken))
