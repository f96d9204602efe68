"""LOGISTIC."""

import math

from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Logistic:
    """int8."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.real(node, _logistic)


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value > -700.0 else 0.0
