"""DEQUANTIZE."""

from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import real


class Dequantize:
    """int8 to float32."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        node.require_dtype(source, "int8")
        node.require_dtype(output, "float32")
        if source.data is not None or source.elements != output.elements:
            raise node.refuse("its input is a constant or has another size", "export the model again")
        scale, zero_point = node.scale(source)
        return Layer(
            body=f"ep_dequantize({source.elements}, {real(scale)}, {zero_point}, x0, y0);",
            headers=("edgepress_float.h",),
            in_place={0: 3 * source.elements},
        )
