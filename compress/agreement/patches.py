"""What a convolution multiplies at each position: the numbers under its kernel, by ONNX's rules for Conv."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from targets.base import Array


def patches(images: Array, kernel: Sequence[int], groups: int, attributes: dict[str, Any], padding: int) -> Array:
    """[groups, positions, kernel positions x channels of a group] of images [1, channels, …], with `padding` around them.

    `attributes` are those of the operator: `strides`, `dilations`, `pads` and `auto_pad`.
    """
    rank = len(kernel)
    dilations, strides = (attributes.get(name, (1,) * rank) for name in ("dilations", "strides"))
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    pads = _pads(attributes, images.shape[2:], reach, strides)
    padded = np.pad(images, [(0, 0), (0, 0), *pads], constant_values=padding)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + rank)))
    taken = windows[(slice(None), slice(None), *(slice(None, None, step) for step in (*strides, *dilations)))]
    positions = int(np.prod(taken.shape[2 : 2 + rank]))
    grouped = taken.reshape(groups, -1, positions, int(np.prod(kernel))).transpose(0, 2, 3, 1)
    return grouped.reshape(groups, positions, -1)


def _pads(attributes: dict[str, Any], sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Before and after each axis."""
    kind = attributes.get("auto_pad", "NOTSET")
    if not kind.startswith("SAME"):
        pads = attributes.get("pads", (0,) * 2 * len(sizes))
        return list(zip(pads[: len(sizes)], pads[len(sizes) :], strict=True))
    totals = [max((-(-size // stride) - 1) * stride + length - size, 0) for size, length, stride in zip(sizes, reach, strides, strict=True)]
    halves = [(total // 2, total - total // 2) for total in totals]
    return halves if kind == "SAME_UPPER" else [(after, before) for before, after in halves]
