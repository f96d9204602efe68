"""Padding of windows, as files give it: by amounts, or by a rule (`auto_pad`)."""

import torch

from compress.reading.onnx.values import Call

Pads = list[tuple[int, int]]
"""Before and after, for each spatial axis."""


def amounts(call: Call, values: torch.Tensor, reach: list[int], stride: list[int]) -> Pads:
    """The padding of a window that reaches over `reach` numbers of each spatial axis."""
    mode = call.get("auto_pad", "NOTSET")
    axes = len(reach)
    if mode in ("NOTSET", ""):
        given = call.get("pads", [0] * (2 * axes))
        return [(given[axis], given[axis + axes]) for axis in range(axes)]
    if mode == "VALID":
        return [(0, 0)] * axes
    pads = []
    for axis in range(axes):
        size = values.shape[2 + axis]
        total = max((-(-size // stride[axis]) - 1) * stride[axis] + reach[axis] - size, 0)
        small, large = total // 2, total - total // 2
        pads.append((large, small) if mode == "SAME_LOWER" else (small, large))
    return pads


def symmetric(pads: Pads) -> list[int] | None:
    """One amount for each axis where both sides have the same."""
    return [before for before, _ in pads] if all(before == after for before, after in pads) else None
