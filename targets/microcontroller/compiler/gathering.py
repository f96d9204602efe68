"""GATHER and EMBEDDING_LOOKUP: entries of an axis, chosen by indices."""

import math

import numpy as np

from targets.microcontroller.compiler import operands
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure


def lower(node: Node, values: int, indices: int, axis: int = 0, batch_axes: int = 0) -> Layer:
    """Gathers entries of `axis` of input `values` by int32 or int64 input `indices`; the first `batch_axes` of both go together."""
    source, chosen, output = node.input(values), node.input(indices), node.output()
    node.require_dtype(source, output.dtype)
    if source.quantization is not None and output.quantization is not None:
        node.same_scale(source, output)
    if not 0 <= batch_axes <= axis < len(source.shape) or batch_axes > len(chosen.shape):
        raise node.refuse(f"it gathers along axis {axis} with {batch_axes} batch axes of {list(source.shape)}", "export the model again")
    made = (*source.shape[:axis], *chosen.shape[batch_axes:], *source.shape[axis + 1 :])
    if made != output.shape or chosen.shape[:batch_axes] != source.shape[:batch_axes] or not source.elements:
        raise node.refuse(f"it makes {list(made)}, not {list(output.shape)}", "export the model again")
    names, constants = operands.named(node, values, indices)
    if chosen.data is not None:
        constants = tuple(constant for constant in constants if constant.name != names[1])
        constants += (Constant(names[1], _checked(node, chosen.data, source.shape[axis])),)
    else:
        node.require_dtype(chosen, "int32")
    shape = structure(
        "ep_gather_t",
        batches=math.prod(source.shape[:batch_axes]),
        outer=math.prod(source.shape[batch_axes:axis]),
        size=source.shape[axis],
        count=math.prod(chosen.shape[batch_axes:]),
        run=math.prod(source.shape[axis + 1 :]) * np.dtype(source.dtype).itemsize,
    )
    return Layer(body=f"ep_gather({shape},\n        {', '.join(names)}, y0);", headers=("edgepress_gather.h",), constants=constants)


def _checked(node: Node, indices: np.ndarray, size: int) -> np.ndarray:
    if indices.dtype.kind not in "iu" or np.any(indices < 0) or np.any(indices >= size):
        raise node.refuse(f"its indices aren't whole numbers below {size}", "export the model again")
    return indices.astype(np.int32)
