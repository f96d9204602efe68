"""TANH."""

import math

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Tanh:
    """int8."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.real(node, math.tanh)
