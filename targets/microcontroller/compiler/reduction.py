"""MEAN and SUM of int8 over any axes."""

import math

from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.fixed_point import quantize_multiplier
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure

LOOPS = 3


def lower(node: Node, mean: bool) -> Layer:
    """The layer that adds up and, for a mean, divides, both in the requantization."""
    source, output = node.input(0), node.output()
    for tensor in (source, output):
        node.require_dtype(tensor, "int8")
    rank = len(source.shape)
    axes = {moves.axis(node, value, rank) for value in node.integers(1, "axes")}
    count = math.prod(source.shape[axis] for axis in axes)
    if output.elements * count != source.elements or not count:
        raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)} over axes {sorted(axes)}", "export the model again")
    steps = moves.canvas(source).strides
    kept = _joined(node, [(source.shape[axis], steps[axis]) for axis in range(rank) if axis not in axes])
    reduced = _joined(node, [(source.shape[axis], steps[axis]) for axis in sorted(axes)])
    scale, zero_point = node.scale(source)
    multiplier, shift = quantize_multiplier(scale / node.scale(output)[0])
    if mean:
        extra = min(count.bit_length() - 1, 32, 31 - shift)
        multiplier, shift = (multiplier << extra) // count, shift + extra
    members = {f"keep{index}": size for index, (size, _) in enumerate(kept)}
    members |= {f"reduce{index}": size for index, (size, _) in enumerate(reduced)}
    members |= {f"keep_step{index}": step for index, (_, step) in enumerate(kept)}
    members |= {f"reduce_step{index}": step for index, (_, step) in enumerate(reduced)}
    shape = structure(
        "ep_reduce_t",
        **members,
        offset=-zero_point * count,
        multiplier=multiplier,
        shift=shift,
        output_zero_point=node.scale(output)[1],
    )
    return Layer(body=f"ep_reduce_sum({shape},\n        x0, y0);", headers=("edgepress_reduce.h",))


def _joined(node: Node, axes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(size, step) of each loop, neighbouring axes joined, filled up in front."""
    loops: list[tuple[int, int]] = []
    for size, step in axes:
        if size == 1:
            continue
        if loops and loops[-1][1] == step * size:
            loops[-1] = (loops[-1][0] * size, step)
        else:
            loops.append((size, step))
    if len(loops) > LOOPS:
        raise node.refuse("its axes lie too far apart", "reduce neighbouring axes, or one after the other")
    return [(1, 0)] * (LOOPS - len(loops)) + loops
