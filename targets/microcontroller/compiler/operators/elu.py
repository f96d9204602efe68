"""ELU."""

import math

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Elu:
    """int8."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.real(node, _elu)


def _elu(value: float) -> float:
    return math.expm1(value) if value < 0.0 else value
