"""DEQUANTIZE."""

import numpy as np

from targets.microcontroller.compiler import kernels
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import real


class Dequantize:
    """int8 or int16 to float32."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        node.require_dtype(source, "int8", "int16")
        node.require_dtype(output, "float32")
        if source.data is not None or source.elements != output.elements:
            raise node.refuse("its input is a constant or has another size", "export the model again")
        scale, zero_point = node.scale(source)
        return Layer(
            body=f"ep_dequantize{kernels.suffix(source.dtype)}({source.elements}, {real(scale)}, {zero_point}, x0, y0);",
            headers=(kernels.header("float", source.dtype),),
            in_place={0: source.elements * (4 - np.dtype(source.dtype).itemsize)},
        )
