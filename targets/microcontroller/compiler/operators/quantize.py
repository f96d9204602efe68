"""QUANTIZE."""

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import real


class Quantize:
    """float32 to int8, or int8 to int8 with another scale."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        node.require_dtype(source, "int8", "float32")
        if source.dtype == "int8":
            return unary.rescaled(node, node.scale(source)[0] / node.scale(output)[0])
        node.require_dtype(output, "int8")
        if source.data is not None or source.elements != output.elements:
            raise node.refuse("its input is a constant or has another size", "export the model again")
        scale, zero_point = node.scale(output)
        return Layer(
            body=f"ep_quantize({source.elements}, {real(scale)}, {zero_point}, x0, y0);",
            headers=("edgepress_float.h",),
            in_place={0: 0},
        )
