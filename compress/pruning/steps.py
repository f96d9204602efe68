"""Channel counts that pay on a target: the ends of its stairs, so that channels which cost nothing stay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from compress.pruning.choice import LARGEST_SHARE, Group, Kept, Scores
from compress.pruning.latency import Latency

Steps = Mapping[int, tuple[int, ...]]
"""By group the counts that are worth having, ascending; the whole group is the last."""


def steps(found: Sequence[Group], latency: Latency, multiple_of: int) -> Steps:
    """The counts of each group, all others being whole, than which no larger one costs as little."""
    whole = tuple(len(group.classes) for group in found)
    return {number: _ends(group, number, whole, latency, multiple_of) for number, group in enumerate(found)}


def _ends(group: Group, number: int, whole: Kept, latency: Latency, multiple_of: int) -> tuple[int, ...]:
    count = whole[number]
    ends, cheapest = [count], latency.near(number, whole)
    for left in range(count - 1, 0, -1):
        cost = latency.near(number, _with(whole, number, left))
        if cost * (1 + latency.noise) < cheapest and (left * group.width) % multiple_of == 0:
            ends.append(left)
            cheapest = cost
    return tuple(reversed(ends))


def nearest(possible: Steps, kept: Kept) -> Kept:
    """Each group's count moved to the nearest that is worth having, the larger of two."""
    return tuple(min(reversed(possible[number]), key=lambda each: abs(each - left)) for number, left in enumerate(kept))


@dataclass(frozen=True)
class Budget:
    """What is to cost at most `limit`."""

    cost: Callable[[Kept], float]
    limit: float

    def keeps(self, kept: Kept) -> bool:
        """Whether so many channels cost no more."""
        return self.cost(kept) <= self.limit


def cheapest(found: Sequence[Group], scores: Scores, possible: Steps, latency: Latency, budget: Budget) -> Kept:
    """Goes down the steps until the budget is kept, always where the least importance is lost for what the target saves."""
    lost = [_lost(group, scores) for group in found]
    floors = [ceil(round(len(group.classes) * (1 - LARGEST_SHARE), 6)) for group in found]
    kept = tuple(len(group.classes) for group in found)
    while not budget.keeps(kept):
        moves = []
        for number, ends in possible.items():
            before = latency.near(number, kept)
            for left in ends:
                if floors[number] <= left < kept[number]:
                    saved = before - latency.near(number, _with(kept, number, left))
                    if saved > 0:
                        moves.append(((lost[number][left] - lost[number][kept[number]]) / saved, number, left))
        if not moves:
            break
        _, number, left = min(moves)
        kept = _with(kept, number, left)
    return given_back(found, scores, possible, kept, budget)


def given_back(found: Sequence[Group], scores: Scores, possible: Steps, kept: Kept, budget: Budget) -> Kept:
    """What was saved too much goes back, a step at a time, to the group that gains most importance by it."""
    lost = [_lost(group, scores) for group in found]
    while True:
        back = [
            (lost[number][kept[number]] - lost[number][left], number, left)
            for number, ends in possible.items()
            for left in [next((end for end in ends if end > kept[number]), 0)]
            if left and budget.keeps(_with(kept, number, left))
        ]
        if not back:
            return kept
        _, number, left = max(back)
        kept = _with(kept, number, left)


def _lost(group: Group, scores: Scores) -> list[float]:
    """The importance that is lost with so many classes left, from none to all."""
    found = [0.0]
    for score in sorted((scores[each] for each in group.classes), reverse=True):
        found.append(found[-1] + score)
    return [found[-1] - each for each in found]


def _with(kept: Kept, number: int, left: int) -> Kept:
    return (*kept[:number], left, *kept[number + 1 :])
