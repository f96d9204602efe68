"""GELU."""

import math

import numpy as np

from targets.formats.tflite_options import GeluOptions
from targets.microcontroller.compiler import pointwise, unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node

HALF = np.float32(0.5)


class Gelu:
    """int8, exact or approximated by tanh."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32" and node.options(GeluOptions).approximate:
            return pointwise.floats(node, "ep_gelu_approximate")
        return unary.real(node, _approximate if node.options(GeluOptions).approximate else _exact)


def _exact(value: np.float32) -> np.float32:
    return HALF * value * np.float32(math.erfc(value * np.float32(-math.sqrt(0.5))))


def _approximate(value: np.float32) -> np.float32:
    inner = np.float32(math.sqrt(2.0 / math.pi)) * (value + np.float32(0.044715) * value * value * value)
    return HALF * value * (np.float32(1) + np.float32(math.tanh(inner)))
