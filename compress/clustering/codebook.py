"""A few values that stand for many numbers: k-means on a line (Lloyd 1982)."""

from typing import Literal

import torch

Init = Literal["linear", "density"]
ROUNDS = 500
"""At most; most codebooks settle before."""


def clustered(weights: torch.Tensor, count: int, init: Init) -> torch.Tensor:
    """The weights with each at the nearest of `count` values, of the same shape and dtype; zeros stay zero and are one of the values.

    Values start evenly spread between the extremes (`linear`, which Han et al. 2016 found best: it keeps the large ones) or as quantiles
    (`density`), and move to the mean of their weights until nothing changes.
    """
    free = weights != 0
    numbers, order = weights[free].double().sort()
    values = _start(numbers, count - int(not bool(free.all())), init)
    totals = torch.cat([numbers.new_zeros(1), numbers.cumsum(0)])
    for _ in range(ROUNDS):
        bounds = _bounds(numbers, values)
        sizes = bounds.diff()
        moved = torch.where(sizes > 0, totals[bounds].diff() / sizes.clamp(min=1), values).sort().values
        if torch.equal(moved, values):
            break
        values = moved
    shared = values.repeat_interleave(_bounds(numbers, values).diff())
    result = torch.zeros_like(weights)
    result[free] = torch.empty_like(shared).index_copy(0, order, shared).to(weights.dtype)
    return result


def count(weights: torch.Tensor) -> int:
    """How many values there are."""
    return len(torch.unique(weights))


def _start(numbers: torch.Tensor, count: int, init: Init) -> torch.Tensor:
    if init == "linear":
        return torch.linspace(float(numbers.min()), float(numbers.max()), count, dtype=torch.float64)
    return numbers[((torch.arange(count) + 0.5) / count * len(numbers)).long()]


def _bounds(numbers: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Where in the sorted numbers those begin that each of the sorted values is nearest to, and where the last end."""
    middles = torch.searchsorted(numbers, (values[1:] + values[:-1]) / 2)
    return torch.cat([middles.new_zeros(1), middles, middles.new_full((1,), len(numbers))])
