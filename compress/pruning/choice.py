"""Which classes of channels go: the same share of every group, or the least important of all, down to a share or to a limit."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from compress.pruning.analysis import Analysis
from compress.pruning.labels import PINNED

Scores = Mapping[int, float]
"""How important each class is; the least important go first."""

Kept = tuple[int, ...]
"""How many classes of each group are left."""

LARGEST_SHARE = 0.9
"""Of no group more than this share goes when all groups compete."""


@dataclass(frozen=True)
class Group:
    """Classes that lie in the same axes of the same weights, and so can stand for each other.

    `width` is how many channels of the first of these axes one class is (several where groups of channels go whole).
    """

    name: str
    classes: tuple[int, ...]
    width: int

    def kept(self, share: float, multiple_of: int) -> int:
        """How many classes are left when `share` of them goes: at least one, and a multiple of `multiple_of` channels, the nearest."""
        step = multiple_of // math.gcd(multiple_of, self.width)
        nearest = math.floor(len(self.classes) * (1 - share) / step + 0.5) * step
        return min(len(self.classes), max(step, nearest))


def groups(analysis: Analysis) -> tuple[Group, ...]:
    """Every group of which something can be removed, in the order of the network's layers."""
    places: dict[int, list[tuple[str, int]]] = defaultdict(list)
    axes = [(f"{name}#{axis}", vector) for name, vectors in analysis.axes.items() for axis, vector in vectors.items()]
    axes += [(f"{name}#tensor", elements) for name, elements in analysis.elements.items()]
    weighted = len(axes)
    axes += [(f"#{number}", vector) for number, vector in enumerate(analysis.anchors)]
    has_weights: set[int] = set()
    for number, (key, labels) in enumerate(axes):
        for found, count in Counter(analysis.classes.find(labels).flatten().tolist()).items():
            places[found].append((key, count))
            if number < weighted:
                has_weights.add(found)
    alike: dict[tuple[tuple[str, int], ...], list[int]] = defaultdict(list)
    for each in sorted(has_weights - {PINNED}):
        alike[tuple(places[each])].append(each)
    return tuple(_group(analysis, places, tuple(classes)) for places, classes in alike.items() if len(classes) > 1)


def _group(analysis: Analysis, places: tuple[tuple[str, int], ...], classes: tuple[int, ...]) -> Group:
    makers = {f"{layer.weight}#{layer.output_axis}": layer.name for layer in analysis.layers}
    key, width = next(((key, count) for key, count in places if key in makers), places[0])
    return Group(makers.get(key, key.partition("#")[0]), classes, width)


def uniform(found: Sequence[Group], ratio: float, multiple_of: int) -> Kept:
    """How many classes are left of each group when the same share goes of all."""
    return tuple(group.kept(ratio, multiple_of) for group in found)


def globally(found: Sequence[Group], scores: Scores, ratio: float, multiple_of: int) -> Kept:
    """How many are left when this share of all classes goes, the least important wherever they are."""
    order = sorted((each for group in found for each in group.classes), key=lambda each: scores[each])
    candidates = set(order[: round(len(order) * ratio)])
    shares = (min(LARGEST_SHARE, len(candidates & set(group.classes)) / len(group.classes)) for group in found)
    return tuple(group.kept(share, multiple_of) for group, share in zip(found, shares, strict=True))


def removed(found: Sequence[Group], scores: Scores, kept: Kept) -> set[int]:
    """The least important classes of each group, as many as are not kept."""
    gone: set[int] = set()
    for group, left in zip(found, kept, strict=True):
        gone |= set(sorted(group.classes, key=lambda each: scores[each])[: len(group.classes) - left])
    return gone


def to_limit(choose: Callable[[float], Kept], cost: Callable[[Kept], float], limit: float) -> Kept:
    """The smallest share (to a thousandth) whose removal costs at most `limit`; the largest possible where none does."""
    low, high = 0, 999
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if cost(choose(middle / 1000)) <= limit else (middle + 1, high)
    return choose(low / 1000)
