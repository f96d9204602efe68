"""QUANTIZE."""

from targets.microcontroller.compiler import kernels, pointwise, unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import real


class Quantize:
    """float32 to int8 or int16, or either of these to either with another scale."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        node.require_dtype(source, *kernels.WORDS)
        if source.dtype != "float32":
            rescaled = unary.rescaled if source.dtype == output.dtype == "int8" else pointwise.rescaled
            return rescaled(node, node.scale(source)[0] / node.scale(output)[0])
        node.require_dtype(output, "int8", "int16")
        if source.data is not None or source.elements != output.elements:
            raise node.refuse("its input is a constant or has another size", "export the model again")
        scale, zero_point = node.scale(output)
        return Layer(
            body=f"ep_quantize{kernels.suffix(output.dtype)}({source.elements}, {real(scale)}, {zero_point}, x0, y0);",
            headers=(kernels.header("float", output.dtype),),
            in_place={0: 0},
        )
