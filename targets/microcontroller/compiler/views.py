"""Operators that give their input another shape and no more."""

from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


def view(node: Node) -> Layer:
    """A layer without code."""
    source, output = node.input(0), node.output()
    if source.dtype != output.dtype or source.elements != output.elements:
        raise node.refuse(f"{source.dtype} {list(source.shape)} can't become {output.dtype} {list(output.shape)}", "export the model again")
    if source.quantization is not None and output.quantization is not None:
        node.same_scale(source, output)
    return Layer(is_view=True)
