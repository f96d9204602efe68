"""LOGISTIC."""

import math

import numpy as np

from targets.microcontroller.compiler import pointwise, tables, unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node

ONE = np.float32(1)
LARGEST = 88.0
"""Its exponential is a float32."""


class Logistic:
    """int8, int16 or float32."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32":
            return pointwise.floats(node, "ep_logistic")
        if node.output().dtype == "int16":
            return tables.sigmoid(node, tangent=False)
        return unary.real(node, _logistic)


def _logistic(value: np.float32) -> np.float32:
    return ONE / (ONE + np.float32(math.exp(min(-float(value), LARGEST))))
