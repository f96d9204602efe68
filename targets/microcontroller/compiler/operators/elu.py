"""ELU."""

import math

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Elu:
    """int8."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.real(node, lambda value: value if value > 0 else math.expm1(value))
