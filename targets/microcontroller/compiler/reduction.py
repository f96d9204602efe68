"""MEAN and SUM of int8, int16 and float32, REDUCE_MAX and REDUCE_MIN of int8, over any axes."""

import math

import numpy as np

from targets.microcontroller.compiler import kernels, moves
from targets.microcontroller.compiler.fixed_point import quantize_multiplier
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure

LOOPS = 3
SUMS = 1 << 32
"""How many sums there are in 32 bits."""


def lower(node: Node, mean: bool) -> Layer:
    """The layer that adds up and, for a mean, divides, both in the requantization."""
    members, count = _loops(node, *kernels.WORDS)
    dtype = node.output().dtype
    scaled = {"multiplier": count if mean else 1} if dtype == "float32" else _requantization(node, count, mean)
    shape = structure(f"ep_reduce{kernels.suffix(dtype)}_t", **members, **scaled)
    return Layer(body=f"ep_reduce_sum{kernels.suffix(dtype)}({shape},\n        x0, y0);", headers=(kernels.header("reduce", dtype),))


def _requantization(node: Node, count: int, mean: bool) -> dict[str, int]:
    """What turns the sum of `count` integers into an output, as members of the kernel's structure."""
    scale, zero_point = node.scale(node.input(0))
    if count << np.iinfo(node.input(0).dtype).bits > SUMS:
        raise node.refuse(f"it adds up {count} numbers", "reduce one axis after the other")
    multiplier, shift = quantize_multiplier(scale / node.scale(node.output())[0])
    if mean:
        extra = min(count.bit_length() - 1, 32, 31 - shift)
        multiplier, shift = (multiplier << extra) // count, shift + extra
    members = {"offset": -zero_point * count, "multiplier": multiplier, "shift": shift}
    return members | {"output_zero_point": node.scale(node.output())[1]}


def extreme(node: Node, largest: bool) -> Layer:
    """The layer that keeps the largest, or the smallest, number."""
    node.same_scale(node.input(0), node.output())
    members, _ = _loops(node, "int8")
    shape = structure("ep_extremes_t", **members)
    return Layer(body=f"ep_extremes({shape},\n        {int(largest)}, x0, y0);", headers=("edgepress_extreme.h",))


def _loops(node: Node, *dtypes: str) -> tuple[dict[str, int], int]:
    """The loops over what is kept and what is reduced, and how many numbers make one."""
    source, output = node.input(0), node.output()
    node.require_dtype(source, *dtypes)
    node.require_dtype(output, source.dtype)
    rank = len(source.shape)
    axes = {moves.axis(node, value, rank) for value in node.integers(1, "axes")}
    count = math.prod(source.shape[axis] for axis in axes)
    if output.elements * count != source.elements or not count:
        raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)} over axes {sorted(axes)}", "export the model again")
    steps = [step // np.dtype(source.dtype).itemsize for step in moves.canvas(source).strides]
    left = [axis for axis in range(rank) if axis not in axes]
    kept, reduced = (
        moves.loops(node, [source.shape[axis] for axis in part], [[steps[axis] for axis in part]], LOOPS) for part in (left, sorted(axes))
    )
    members = {f"keep{index}": size for index, (size, _) in enumerate(kept)}
    members |= {f"reduce{index}": size for index, (size, _) in enumerate(reduced)}
    members |= {f"keep_step{index}": step for index, (_, step) in enumerate(kept)}
    return members | {f"reduce_step{index}": step for index, (_, step) in enumerate(reduced)}, count
