"""LOGICAL_NOT."""

from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class LogicalNot:
    """Truths."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        for tensor in (source, output):
            node.require_dtype(tensor, "bool")
        if source.elements != output.elements:
            raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}", "export the model again")
        return Layer(body=f"for (int32_t i = 0; i < {output.elements}; i++) {{\n        y0[i] = !x0[i];\n    }}", in_place={0: 0})
