"""STRIDED_SLICE."""

from targets.formats.tflite_options import StridedSliceOptions
from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class StridedSlice:
    """Any dtype; without ellipsis and new axes."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        options = node.options(StridedSliceOptions)
        begins, ends, strides = node.integers(1, "begin"), node.integers(2, "end"), node.integers(3, "strides")
        base = moves.canvas(source)
        if options.ellipsis_mask or options.new_axis_mask or options.offset:
            raise node.refuse("it has an ellipsis, a new axis or ends that are offsets", "write the slice out in full")
        if not len(begins) == len(ends) == len(strides) <= base.ndim or 0 in strides:
            raise node.refuse(f"it has begins {list(begins)}, ends {list(ends)} and strides {list(strides)}", "export the model again")
        cuts = []
        for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
            bit = 1 << axis
            if options.shrink_axis_mask & bit:
                first = 0 if stride > 0 else -1
                at = moves.axis(node, first if options.begin_mask & bit else begin, source.shape[axis])
                cuts.append(slice(at, at + 1))
            else:
                cuts.append(slice(None if options.begin_mask & bit else begin, None if options.end_mask & bit else end, stride))
        return moves.rearranged(node, moves.block(base, base[tuple(cuts)]))
