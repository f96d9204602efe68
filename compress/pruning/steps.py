"""Channel counts that pay on a target: the ends of its stairs, so that channels which cost nothing stay."""

from collections.abc import Mapping, Sequence

from compress.pruning.choice import Group, Kept
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
        cost = latency.near(number, changed(whole, number, left))
        if cost * (1 + latency.noise) < cheapest and (left * group.width) % multiple_of == 0:
            ends.append(left)
            cheapest = cost
    return tuple(reversed(ends))


def nearest(possible: Steps, kept: Kept) -> Kept:
    """Each group's count moved to the nearest that is worth having, the larger of two."""
    return tuple(min(reversed(possible[number]), key=lambda each: abs(each - left)) for number, left in enumerate(kept))


def changed(kept: Kept, number: int, left: int) -> Kept:
    """With another count for one group."""
    return (*kept[:number], left, *kept[number + 1 :])
