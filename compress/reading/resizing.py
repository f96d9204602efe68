"""Ways to place pixels that torch hasn't, made of operators that it has. Images are [N, C, …], `sizes` those of the axes behind."""

from collections.abc import Callable, Sequence
from math import ceil, floor

import torch
from torch.nn import functional as F

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}

COORDINATES: dict[str, Callable[[int, int, int], float]] = {
    "half_pixel": lambda place, old, new: (place + 0.5) * old / new - 0.5,
    "pytorch_half_pixel": lambda place, old, new: (place + 0.5) * old / new - 0.5 if new > 1 else 0.0,
    "asymmetric": lambda place, old, new: place * old / new,
    "align_corners": lambda place, old, new: place * (old - 1) / (new - 1) if new > 1 else 0.0,
}
"""Where a new pixel lies among the old ones, by ONNX's words (its operator Resize)."""

ROUNDING: dict[str, Callable[[float], int]] = {
    "round_prefer_floor": lambda place: ceil(place - 0.5),
    "round_prefer_ceil": lambda place: floor(place + 0.5),
    "floor": floor,
    "ceil": ceil,
}


def nearest(values: torch.Tensor, sizes: Sequence[int], coordinates: str, rounding: str) -> torch.Tensor:
    """Each new pixel is an old one."""
    where, rounded = COORDINATES[coordinates], ROUNDING[rounding]
    pairs = list(zip(values.shape[2:], sizes, strict=True))
    places = [[min(max(rounded(where(place, old, new)), 0), old - 1) for place in range(new)] for old, new in pairs]
    if places == [[place * old // new for place in range(new)] for old, new in pairs]:
        return F.interpolate(values, list(sizes))
    for axis, chosen in enumerate(places, 2):
        values = values.index_select(axis, torch.tensor(chosen))
    return values


def linear(values: torch.Tensor, sizes: Sequence[int], coordinates: str) -> torch.Tensor:
    """Between old pixels. By `asymmetric`, new pixels go from the first corner on: torch's corners meet with one old and new pixel more."""
    kind = LINEAR[len(sizes)]
    if coordinates != "asymmetric":
        return F.interpolate(values, list(sizes), mode=kind, align_corners=coordinates == "align_corners")
    for axis in range(2, values.dim()):
        values = torch.cat([values, values.narrow(axis, values.shape[axis] - 1, 1)], axis)
    made = F.interpolate(values, [size + 1 for size in sizes], mode=kind, align_corners=True)
    for axis, size in enumerate(sizes, 2):
        made = made.narrow(axis, 0, size)
    return made
