"""Which steps to take under a budget: importance against what channels take on a target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from compress.pruning.choice import LARGEST_SHARE, Group, Kept, Scores
from compress.pruning.latency import Latency
from compress.pruning.steps import Steps, changed


@dataclass(frozen=True)
class Budget:
    """What is to cost at most `limit`."""

    cost: Callable[[Kept], float]
    limit: float

    def keeps(self, kept: Kept) -> bool:
        """Whether so many channels cost no more."""
        return self.cost(kept) <= self.limit


@dataclass(frozen=True)
class Worth:
    """What channels are worth: their importance, less what they take on the target at a price for its unit of time.

    `lost` is the importance that is lost, by group and number of its classes left.
    """

    lost: list[list[float]]
    latency: Latency
    price: float = 0.0

    @classmethod
    def by(cls, found: Sequence[Group], scores: Scores, latency: Latency) -> "Worth":
        """By the scores of classes, time being free."""
        return cls([_lost(group, scores) for group in found], latency)

    def __call__(self, kept: Kept) -> float:
        """Of all that are left; 0 is that of the whole network where time is free."""
        return -sum(row[left] for row, left in zip(self.lost, kept, strict=True)) - self.price * self.latency(kept)

    def gain(self, kept: Kept, number: int, left: int) -> float:
        """What is won with another, larger count of one group."""
        importance = self.lost[number][kept[number]] - self.lost[number][left]
        return importance - self.price * self.time(kept, number, left) if self.price else importance

    def time(self, kept: Kept, number: int, left: int) -> float:
        """What that takes."""
        return self.latency.near(number, changed(kept, number, left)) - self.latency.near(number, kept)


def cheapest(found: Sequence[Group], possible: Steps, worth: Worth, budget: Budget) -> Kept:
    """Goes down the steps until the budget is kept, always where the least importance is lost for what the target saves."""
    floors = [ceil(round(len(group.classes) * (1 - LARGEST_SHARE), 6)) for group in found]
    kept = tuple(len(group.classes) for group in found)
    while not budget.keeps(kept):
        moves = []
        for number, ends in possible.items():
            for left in ends:
                if floors[number] <= left < kept[number]:
                    saved = -worth.time(kept, number, left)
                    if saved > 0:
                        moves.append((-worth.gain(kept, number, left) / saved, number, left))
        if not moves:
            break
        _, number, left = min(moves)
        kept = changed(kept, number, left)
    return given_back(possible, worth, kept, budget)


def given_back(possible: Steps, worth: Worth, kept: Kept, budget: Budget) -> Kept:
    """What was saved too much goes back, a step at a time, to the group where it is worth most."""
    while True:
        back = [
            (worth.gain(kept, number, left), number, left)
            for number in possible
            for left in [_above(possible, kept, number)]
            if left and budget.keeps(changed(kept, number, left))
        ]
        if not back:
            return kept
        _, number, left = max(back)
        kept = changed(kept, number, left)


def exchanged(possible: Steps, worth: Worth, kept: Kept, budget: Budget) -> Kept:
    """Channels of one group for those of others, under the same budget, where that makes the target faster.

    Importance pays for time, at most what the groups' last steps paid on average.
    """
    above = [(number, left) for number in possible for left in [_above(possible, kept, number)] if left]
    prices = [worth.gain(kept, *step) / worth.time(kept, *step) for step in above if worth.time(kept, *step) > 0]
    priced = replace(worth, price=sum(prices) / max(1, len(prices)))
    while True:
        others = [
            given_back({each: ends for each, ends in possible.items() if each != number}, priced, changed(kept, number, left), budget)
            for number in possible
            for left in [max((end for end in possible[number] if end < kept[number]), default=0)]
            if left
        ]
        best = max((each for each in others if worth.latency(each) < worth.latency(kept)), key=priced, default=kept)
        if priced(best) <= priced(kept):
            return kept
        kept = best


def _above(possible: Steps, kept: Kept, number: int) -> int:
    """The next larger count of a group that is worth having; 0 where it is whole."""
    return next((end for end in possible[number] if end > kept[number]), 0)


def _lost(group: Group, scores: Scores) -> list[float]:
    """The importance that is lost with so many classes left, from none to all."""
    found = [0.0]
    for score in sorted((scores[each] for each in group.classes), reverse=True):
        found.append(found[-1] + score)
    return [found[-1] - each for each in found]
