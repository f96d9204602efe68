"""SOFTMAX."""

import numpy as np

from targets.formats.tflite_options import SoftmaxOptions
from targets.microcontroller.compiler import kernels, softmax, tables
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import real


class Softmax:
    """int8, int16 or float32 over the last axis; the output's scale is 1/256 and its zero point -128, as the specification has it."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        node.require_dtype(source, *kernels.WORDS)
        node.require_dtype(output, source.dtype)
        beta = node.options(SoftmaxOptions).beta
        if source.shape != output.shape or not source.elements or not source.shape or not (np.isfinite(beta) and beta > 0):
            raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}, or its beta isn't above 0", "export the model again")
        if source.dtype == "float32":
            return _floats(source.elements // source.shape[-1], source.shape[-1], beta)
        if source.dtype == "int16":
            return tables.softmax(node, beta)
        if node.scale(output) != (1 / 256, -128):
            raise node.refuse("its output hasn't scale 1/256 and zero point -128", "quantize the model again")
        exponentials = softmax.table(node.scale(source)[0], beta)
        depth = softmax.require_depth(node)
        return Layer(
            body=f"ep_softmax({source.elements // depth}, {depth}, x0, exponentials, {len(exponentials)}, y0);",
            headers=("edgepress_softmax.h",),
            constants=(Constant("exponentials", exponentials),),
            in_place={0: 0},
        )


def _floats(rows: int, depth: int, beta: float) -> Layer:
    body = f"ep_softmax_float32({rows}, {depth}, {real(float(np.float32(beta)))}, x0, y0);"
    return Layer(body=body, headers=("edgepress_math_float32.h",), in_place={0: 0})
