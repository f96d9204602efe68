"""LOG_SOFTMAX."""

from targets.microcontroller.compiler import softmax
from targets.microcontroller.compiler.fixed_point import quantize_multiplier
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure


class LogSoftmax:
    """int8 over the last axis; the output's scale is 1/16 and its zero point 127, as the specification has it."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        for tensor in (source, output):
            node.require_dtype(tensor, "int8")
        if node.scale(output) != (1 / 16, 127) or source.shape != output.shape or not source.elements or not source.shape:
            raise node.refuse("its output hasn't scale 1/16 and zero point 127, or another shape", "quantize the model again")
        depth = softmax.require_depth(node)
        scale = node.scale(source)[0]
        exponentials = softmax.table(scale, 1.0)
        multiplier, shift = quantize_multiplier(min(scale * (1 << 26), 2.0**31 - 1))
        reverse = quantize_multiplier(2.0 ** (31 + shift) / multiplier)
        shape = structure(
            "ep_log_softmax_t",
            rows=source.elements // depth,
            depth=depth,
            differences=len(exponentials),
            radius=softmax.radius(scale, 1.0),
            multiplier=multiplier,
            shift=shift,
            reverse_multiplier=reverse[0],
            reverse_shift=reverse[1],
        )
        return Layer(
            body=f"ep_log_softmax({shape},\n        x0, exponentials, y0);",
            headers=("edgepress_log_softmax.h",),
            constants=(Constant("exponentials", exponentials),),
            in_place={0: 0},
        )
