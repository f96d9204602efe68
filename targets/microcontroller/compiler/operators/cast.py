"""CAST."""

from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import C_TYPES

WHOLE = ("int8", "uint8", "int16", "int32", "int64", "bool")


class Cast:
    """Whole numbers and truths to whole numbers, truths or float32, as C converts them."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        source, output = node.input(0), node.output()
        node.require_dtype(source, *WHOLE)
        node.require_dtype(output, *WHOLE, "float32")
        if source.elements != output.elements:
            raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}", "export the model again")
        value = "x0[i] != 0" if output.dtype == "bool" else "x0[i]"
        return Layer(
            body=f"for (int32_t i = 0; i < {output.elements}; i++) {{\n        y0[i] = ({C_TYPES[output.dtype]})({value});\n    }}"
        )
