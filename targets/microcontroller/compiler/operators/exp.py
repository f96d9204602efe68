"""EXP."""

import math

import numpy as np

from targets.microcontroller.compiler import pointwise, unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Exp:
    """int8 or float32."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32":
            return pointwise.floats(node, "ep_exp")
        return unary.real(node, _exp)


def _exp(value: np.float32) -> float:
    return math.exp(min(float(value), 88.0))
