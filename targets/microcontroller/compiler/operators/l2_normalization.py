"""L2_NORMALIZATION."""

from targets.formats.tflite_options import Activation, ArithmeticOptions
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class L2Normalization:
    """int8 over the last axis; the output's scale is 1/128 and its zero point 0, as the specification has it."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        for tensor in (source, output):
            node.require_dtype(tensor, "int8")
        if node.scale(output) != (1 / 128, 0) or source.shape != output.shape or not source.elements:
            raise node.refuse("its output hasn't scale 1/128 and zero point 0, or another shape", "quantize the model again")
        if node.options(ArithmeticOptions).activation != Activation.NONE:
            raise node.refuse("it has a fused activation", "export the activation as an operator of its own")
        depth = source.shape[-1] if source.shape else 1
        if depth * 255**2 >= 2**31:
            raise node.refuse(f"its sum of {depth} squares may leave 32 bits", "normalize fewer numbers")
        return Layer(
            body=f"ep_l2_normalize({source.elements // depth}, {depth}, {node.scale(source)[1]}, x0, y0);",
            headers=("edgepress_normalize.h",),
            in_place={0: 0},
        )
