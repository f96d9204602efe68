"""A scheme for each layer under a budget: from what each scheme costs and loses in each layer to a choice for the whole network."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Table = Mapping[str, Mapping[str, float]]
"""A number for each layer and each scheme that it may have."""

Assignment = dict[str, str]
"""The scheme of each layer."""


@dataclass(frozen=True)
class Step:
    """One layer takes a cheaper scheme, which loses `price` for each unit of cost that it saves."""

    layer: str
    before: str
    after: str
    price: float


def steps(losses: Table, costs: Table) -> list[Step]:
    """The steps from the most accurate choice of every layer (`best`) to the cheapest, those that lose least for what they save first.

    Only schemes on the lower convex hull of a layer's costs and losses are used, so that after every step no other choice that
    costs as little loses less, as far as losses of layers add up (Shoham and Gersho 1988, Efficient bit allocation).
    """
    found = [step for layer in losses for step in _hull(layer, losses[layer], costs[layer])]
    return sorted(found, key=lambda step: step.price)


def best(losses: Table, costs: Table) -> Assignment:
    """The most accurate scheme of each layer, the cheapest of those that are."""
    return {layer: _best(losses[layer], costs[layer]) for layer in losses}


def after(start: Assignment, taken: list[Step]) -> Assignment:
    """The choice after some steps."""
    return {**start, **{step.layer: step.after for step in taken}}


def first(fits: Callable[[int], bool], last: int) -> int:
    """The smallest number of steps, 0 to `last`, that fits, where more steps fit too; `last` is taken to fit."""
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low


def _best(losses: Mapping[str, float], costs: Mapping[str, float]) -> str:
    return min(losses, key=lambda scheme: (losses[scheme], costs[scheme]))


def _hull(layer: str, losses: Mapping[str, float], costs: Mapping[str, float]) -> Iterator[Step]:
    """The steps of one layer, from its most accurate scheme to its cheapest; each costs more than the one before."""
    before = _best(losses, costs)
    while cheaper := [scheme for scheme in losses if costs[scheme] < costs[before]]:
        prices = {scheme: (losses[scheme] - losses[before]) / (costs[before] - costs[scheme]) for scheme in cheaper}
        _, _, scheme = min((price, costs[scheme], scheme) for scheme, price in prices.items())
        yield Step(layer, before, scheme, prices[scheme])
        before = scheme
