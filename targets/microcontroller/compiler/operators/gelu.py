"""GELU."""

import math

from targets.formats.tflite_options import GeluOptions
from targets.microcontroller.compiler import unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Gelu:
    """int8, exact or approximated by tanh."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return unary.real(node, _approximate if node.options(GeluOptions).approximate else _exact)


def _exact(value: float) -> float:
    return 0.5 * value * math.erfc(-value * math.sqrt(0.5))


def _approximate(value: float) -> float:
    return 0.5 * value * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (value + 0.044715 * value**3)))
