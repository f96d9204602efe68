"""Which tensor of one file is which of another, and how the axes of one become those of the other."""

from collections.abc import Callable, Sequence

import numpy as np

from compress.comparing.opened import Traced
from targets.base import Array

Order = tuple[int, ...] | None
CHANNELS_LAST: dict[int, tuple[int, ...]] = {3: (0, 2, 1), 4: (0, 2, 3, 1)}


def pair(one: Sequence[Traced], other: Sequence[Traced]) -> list[tuple[int, int]]:
    """Positions of the tensors that are the same in both, in the order of the first.

    Integers that share scale, zero point and sizes, as exports of one network do, are the same, by their names where several
    are alike and else in the order they are computed in. Any other tensors are the same where name and sizes are.
    """
    found = _matched(one, other, set(), set(), lambda tensor: (tensor.name, _same_integers(tensor)) if tensor.scale else None)
    for key in (lambda tensor: _same_integers(tensor) if tensor.scale else None, lambda tensor: (tensor.name, _sizes(tensor.shape))):
        found |= _matched(one, other, set(found), set(found.values()), key)
    return sorted(found.items())


def to_layout(values: Array, wanted: tuple[int, ...], *, transposed: bool) -> Array:
    """Values [1, …] with the axes of `wanted`; channels go last where `transposed` says that the files differ in that."""
    order = _order(values.shape, wanted) if transposed else None
    moved = values if order is None else values.transpose(order)
    return np.reshape(moved, wanted)


def _order(shape: tuple[int, ...], wanted: tuple[int, ...]) -> Order:
    order = CHANNELS_LAST.get(len(shape))
    if order is None or _without_ones(tuple(shape[axis] for axis in order)) != _without_ones(wanted):
        return None
    # a sequence is [N, T, D] in both, so only sizes that must have moved are moved
    return None if len(shape) == 3 and _without_ones(shape) == _without_ones(wanted) else order


def _matched(
    one: Sequence[Traced], other: Sequence[Traced], taken: set[int], taken_other: set[int], key: Callable[[Traced], object]
) -> dict[int, int]:
    waiting: dict[object, list[int]] = {}
    for index, tensor in enumerate(other):
        if index not in taken_other and (found := key(tensor)) is not None:
            waiting.setdefault(found, []).append(index)
    pairs = {}
    for index, tensor in enumerate(one):
        found = key(tensor) if index not in taken else None
        if found is not None and waiting.get(found):
            pairs[index] = waiting[found].pop(0)
    return pairs


def _same_integers(tensor: Traced) -> tuple[object, ...]:
    return tensor.dtype, np.float32(tensor.scale or 0), tensor.zero_point, _sizes(tensor.shape)


def _sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(size for size in shape if size > 1))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)
