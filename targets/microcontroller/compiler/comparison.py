"""Comparisons of int8 tensors, with broadcasting."""

from targets.microcontroller.compiler import arithmetic
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


def lower(node: Node, operation: str) -> Layer:
    """The layer for '=', '!', 'l' and 'm' (less, or equal) or 'g' and 'h' (greater, or equal)."""
    members = arithmetic.zero_points(node)
    for position, name in enumerate(("first", "second")):
        members |= arithmetic.multiplier(node, name, node.scale(node.input(position))[0])
    if min(members["first_shift"], members["second_shift"]) < 0 or max(members["first_shift"], members["second_shift"]) > 30:
        raise node.refuse("its scales aren't between 2^-31 and 1", "quantize the model again")
    return arithmetic.layer(node, operation, members, made="bool")
