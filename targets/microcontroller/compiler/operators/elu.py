"""ELU."""

import math

import numpy as np

from targets.microcontroller.compiler import pointwise, unary
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class Elu:
    """int8 or float32."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        if node.output().dtype == "float32":
            return pointwise.floats(node, "ep_elu")
        return unary.real(node, _elu)


def _elu(value: np.float32) -> float:
    return math.expm1(value) if value < 0.0 else float(value)
