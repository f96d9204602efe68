"""PAD and PADV2: the output is filled, then the input copied into it."""

from typing import Any

import numpy as np

from targets.formats.tflite import Tensor
from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node


def lower(node: Node, value: Any) -> Layer:
    """The layer that surrounds input 0 with `value`, as far as the constant input 1 says: [axes, before and after]."""
    (source,) = moves.checked(node, 0)
    output = node.output()
    before = [pair[0] for pair in amounts(node, source)]
    base, whole = moves.canvas(output), moves.canvas(source)
    inner = base[tuple(slice(start, start + size) for start, size in zip(before, source.shape, strict=True))]
    filling = np.array([value], output.dtype)
    filled = np.broadcast_to(filling, output.shape)
    statements = [
        moves.move(node, "filling", moves.block(filling, filled), "y0", moves.block(base, base)),
        moves.move(node, "x0", moves.block(whole, whole), "y0", moves.block(base, inner)),
    ]
    return Layer(body="\n    ".join(statements), headers=("edgepress_copy.h",), constants=(Constant("filling", filling),))


def amounts(node: Node, source: Tensor) -> list[tuple[int, int]]:
    """The constant input 1: how many entries go before and after each axis of the source. Refuses an output of another size."""
    paddings = node.constant(1, "padding")
    if paddings.shape != (len(source.shape), 2) or paddings.dtype.kind != "i" or np.any(paddings < 0):
        raise node.refuse(f"its padding has shape {list(paddings.shape)} or is negative", "export the model again")
    expected = tuple(int(size + sum(pair)) for size, pair in zip(source.shape, paddings.tolist(), strict=True))
    if expected != node.output().shape:
        raise node.refuse(f"its padding makes {list(expected)}, not {list(node.output().shape)}", "export the model again")
    return [(int(before), int(after)) for before, after in paddings]
