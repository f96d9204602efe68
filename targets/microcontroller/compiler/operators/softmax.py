"""SOFTMAX."""

import numpy as np

from targets.formats.tflite_options import SoftmaxOptions
from targets.microcontroller.compiler import softmax
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node


class Softmax:
    """int8 over the last axis; the output's scale is 1/256 and its zero point -128, as the specification has it."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        for tensor in (source, output):
            node.require_dtype(tensor, "int8")
        beta = node.options(SoftmaxOptions).beta
        if (
            node.scale(output) != (1 / 256, -128)
            or source.shape != output.shape
            or not source.shape
            or not (np.isfinite(beta) and beta > 0)
        ):
            raise node.refuse("its output hasn't scale 1/256 and zero point -128, or its beta isn't above 0", "quantize the model again")
        exponentials = softmax.table(node.scale(source)[0], beta)
        depth = source.shape[-1]
        return Layer(
            body=f"ep_softmax({source.elements // depth}, {depth}, x0, exponentials, {len(exponentials)}, y0);",
            headers=("edgepress_softmax.h",),
            constants=(Constant("exponentials", exponentials),),
            in_place={0: 0},
        )
