"""EXP."""

import math

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Exp:
    """int8."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.real(node, _exp)


def _exp(value: float) -> float:
    return math.exp(min(value, 88.0))
