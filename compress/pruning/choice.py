"""Which classes of channels go: the same share of every group, or the least important of all, down to a share or to MACs."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch

from compress.pruning.analysis import Analysis
from compress.pruning.labels import PINNED

Scores = Mapping[int, float]
"""How important each class is; the least important go first."""

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


def uniform(found: tuple[Group, ...], scores: Scores, ratio: float, multiple_of: int) -> set[int]:
    """Removes the same share of every group, its least important classes."""
    removed: set[int] = set()
    for group in found:
        order = sorted(group.classes, key=lambda each: scores[each])
        removed |= set(order[: len(order) - group.kept(ratio, multiple_of)])
    return removed


def globally(found: tuple[Group, ...], scores: Scores, ratio: float, multiple_of: int) -> set[int]:
    """Removes this share of all classes, the least important wherever they are."""
    order = sorted((each for group in found for each in group.classes), key=lambda each: scores[each])
    candidates = set(order[: round(len(order) * ratio)])
    removed: set[int] = set()
    for group in found:
        share = min(LARGEST_SHARE, len(candidates & set(group.classes)) / len(group.classes))
        removed |= uniform((group,), scores, share, multiple_of)
    return removed


def to_macs(choose: Callable[[float], set[int]], cost: Callable[[set[int]], int], limit: float) -> set[int]:
    """The smallest share (to a thousandth) whose removal leaves at most `limit` MACs; the largest possible where none does."""
    low, high = 0, 999
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if cost(choose(middle / 1000)) <= limit else (middle + 1, high)
    return choose(low / 1000)


def macs_left(analysis: Analysis, shapes: Mapping[str, torch.Size], removed: set[int]) -> int:
    """MACs of convolutions and linear layers for one sample after the removal, by the labels alone. `shapes` are the weights' own."""
    gone = torch.tensor(sorted(removed), dtype=torch.int64)
    total = 0
    for layer in analysis.layers:
        sizes = list(shapes[layer.weight])
        for axis, vector in analysis.axes[layer.weight].items():
            sizes[axis] -= int(torch.isin(analysis.classes.find(vector), gone).sum())
        total += prod(sizes) * layer.positions
    return total
