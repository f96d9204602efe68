"""ARG_MAX and ARG_MIN."""

import math

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import C_TYPES, structure


def lower(node: Node, largest: bool) -> Layer:
    """The layer that finds where along an axis the largest, or the smallest, number is."""
    source, output = node.input(0), node.output()
    node.require_dtype(source, "int8")
    node.require_dtype(output, "int32", "int64")
    axis = moves.axis(node, (*node.integers(1, "axis"), 0)[0], len(source.shape))
    kept = source.shape[:axis] + source.shape[axis + 1 :]
    if output.elements != math.prod(kept) or not source.elements or source.data is not None:
        raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}", "export the model again")
    shape = structure("ep_extreme_t", size=source.shape[axis], inner=math.prod(source.shape[axis + 1 :]))
    kind = C_TYPES[output.dtype]
    return Layer(
        body=f"for (int32_t i = 0; i < {output.elements}; i++) {{\n"
        f"        y0[i] = ({kind})ep_extreme({shape}, {int(largest)}, i, x0);\n    }}",
        headers=("edgepress_extreme.h",),
    )
