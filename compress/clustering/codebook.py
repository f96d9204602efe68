"""A few values that stand for many numbers: k-means on a line (Lloyd 1982)."""

from typing import Literal

import torch

Init = Literal["linear", "density"]
EQUAL = 1e-6
"""What float32 leaves between equal shares of channels."""
ROUNDS = 500
"""At most; most codebooks settle before."""


def scales(weights: torch.Tensor, axis: int | None) -> torch.Tensor:
    """The largest size of each channel, of the weights' shape but 1 along the other axes; 1 for no axis and where a channel is zero."""
    if axis is None:
        return weights.new_ones([1] * weights.ndim)
    largest = weights.detach().abs().amax([other for other in range(weights.ndim) if other != axis], keepdim=True)
    return torch.where(largest > 0, largest, 1.0)


def clustered(weights: torch.Tensor, count: int, init: Init, axis: int | None = None) -> torch.Tensor:
    """The weights with each at the nearest of `count` values, of the same shape and dtype; zeros stay zero and are one of the values.

    Where an `axis` of channels is given, values are shares of the channel's largest weight, and 1 and -1 are among them.

    Values start evenly spread between the extremes (`linear`, which Han et al. 2016 found best: it keeps the large ones) or as quantiles
    (`density`), and move to the mean of their weights until nothing changes.
    """
    free, sizes = weights != 0, scales(weights, axis)
    numbers, order = (weights / sizes)[free].double().sort()
    shared = _shared(numbers, _start(numbers, count - int(not bool(free.all())), init), pinned=axis is not None)
    result = torch.zeros_like(weights)
    result[free] = torch.empty_like(shared).index_copy(0, order, shared).to(weights.dtype)
    return result * sizes


def members(weights: torch.Tensor, axis: int | None) -> torch.Tensor:
    """The number of the value, in rising order, that each element has, of the weights' shape. What is this near to each other is equal."""
    values, places = torch.unique(weights.detach() / scales(weights, axis), return_inverse=True)
    steps = torch.cat([places.new_zeros(1), (values.diff() > EQUAL).long().cumsum(0)])
    return steps[places]


def _shared(numbers: torch.Tensor, values: torch.Tensor, *, pinned: bool) -> torch.Tensor:
    """For sorted numbers the values that they share in the end; the ends stay at -1 and 1 where they are `pinned`."""
    totals = torch.cat([numbers.new_zeros(1), numbers.cumsum(0)])
    for _ in range(ROUNDS):
        bounds = _bounds(numbers, values)
        sizes = bounds.diff()
        moved = torch.where(sizes > 0, totals[bounds].diff() / sizes.clamp(min=1), values).sort().values
        if pinned:
            moved[0], moved[-1] = -1.0, 1.0
        if torch.equal(moved, values):
            break
        values = moved
    return values.repeat_interleave(_bounds(numbers, values).diff())


def _start(numbers: torch.Tensor, count: int, init: Init) -> torch.Tensor:
    if init == "linear":
        return torch.linspace(float(numbers.min()), float(numbers.max()), count, dtype=torch.float64)
    return numbers[((torch.arange(count) + 0.5) / count * len(numbers)).long()]


def _bounds(numbers: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Where in the sorted numbers those begin that each of the sorted values is nearest to, and where the last end."""
    middles = torch.searchsorted(numbers, (values[1:] + values[:-1]) / 2)
    return torch.cat([middles.new_zeros(1), middles, middles.new_full((1,), len(numbers))])
