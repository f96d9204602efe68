"""SLICE."""

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Slice:
    """Any dtype; a size of -1 reaches to the end."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        begins, sizes = node.integers(1, "begin"), node.integers(2, "size")
        base = moves.canvas(source)
        if not len(begins) == len(sizes) == base.ndim:
            raise node.refuse(f"it has {len(begins)} begins and {len(sizes)} sizes for {base.ndim} axes", "export the model again")
        ends = [axis if size == -1 else begin + size for axis, begin, size in zip(source.shape, begins, sizes, strict=True)]
        if not all(0 <= begin <= end <= axis for axis, begin, end in zip(source.shape, begins, ends, strict=True)):
            raise node.refuse(f"it takes {list(begins)} to {ends} of {list(source.shape)}", "export the model again")
        taken = base[tuple(slice(begin, end) for begin, end in zip(begins, ends, strict=True))]
        return moves.rearranged(node, moves.block(base, taken))
