"""What an operator's inputs are called in its C: some are computed, some are constants."""

from targets.microcontroller.compiler.layer import Constant
from targets.microcontroller.compiler.node import Node


def named(node: Node, *positions: int) -> tuple[tuple[str, ...], tuple[Constant, ...]]:
    """The names of these inputs, and those of them that the layer has to bring as its constants."""
    names, constants = [], []
    for position in positions:
        data = node.input(position).data
        if data is None:
            before = (node.graph.tensors[index] for index in node.operator.inputs[:position] if index >= 0)
            names.append(f"x{sum(tensor.data is None for tensor in before)}")
        else:
            constants.append(Constant(f"input{position}", data))
            names.append(constants[-1].name)
    return tuple(names), tuple(constants)
