"""Places every computed tensor in one block of memory, the arena, so that no two that are needed at one time get in each other's way.

An operator that may work in place lets its output overlap an input that is needed no longer: the input then starts at least some
bytes after the output. First fit in several orders, the best kept (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference", 2020, describe first fit by size; the overlap is theirs who call it diagonal memory optimisation).
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

ALIGNMENT = 4
SAME_PLACE = -1
"""For a distance: the two start at the same byte, or don't overlap. For an operator that doesn't go over its numbers in their order."""
SHUFFLES = 200


@dataclass(frozen=True)
class Buffer:
    """`size` bytes that are needed from layer `first` to layer `last`, both counted.

    `sources` says for a buffer by its index how many bytes after this one it must start where the two overlap, or `SAME_PLACE`.
    """

    size: int
    first: int
    last: int
    sources: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Where each buffer starts, and how many bytes the arena has."""

    offsets: tuple[int, ...]
    arena_bytes: int


def plan(buffers: Sequence[Buffer], thorough: bool = True) -> Plan:
    """The smallest arena found; the same for the same buffers. Not `thorough`: in a few orders only."""
    best: Plan | None = None
    for order in _orders(buffers, SHUFFLES if thorough else 0):
        offsets = _place(buffers, order)
        size = max((offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)), default=0)
        if best is None or size < best.arena_bytes:
            best = Plan(offsets, size)
    assert best is not None  # noqa: S101  there is always at least one order
    return Plan(best.offsets, aligned(best.arena_bytes, 16))


def aligned(size: int, alignment: int = ALIGNMENT) -> int:
    """`size` rounded up."""
    return -(-size // alignment) * alignment


def live_bytes(buffers: Sequence[Buffer], offsets: Sequence[int], layer: int) -> int:
    """How many bytes of the arena hold something at this layer."""
    spans = sorted(
        (offset, offset + buffer.size) for offset, buffer in zip(offsets, buffers, strict=True) if buffer.first <= layer <= buffer.last
    )
    total, end = 0, 0
    for start, stop in spans:
        total += max(stop - max(start, end), 0)
        end = max(end, stop)
    return total


def _orders(buffers: Sequence[Buffer], shuffles: int) -> Iterable[list[int]]:
    indices = list(range(len(buffers)))
    yield sorted(indices, key=lambda index: (-buffers[index].size, buffers[index].first))
    yield sorted(indices, key=lambda index: (buffers[index].first, -buffers[index].size))
    yield sorted(indices, key=lambda index: (-buffers[index].last, -buffers[index].size))
    shuffled = random.Random(0)  # noqa: S311  a search, no secret
    for _ in range(shuffles if len(buffers) <= 100 else 0):
        weights = {index: buffers[index].size * shuffled.uniform(0.25, 4) for index in indices}
        yield sorted(indices, key=lambda index: -weights[index])


def _place(buffers: Sequence[Buffer], order: Sequence[int]) -> tuple[int, ...]:
    offsets: dict[int, int] = {}
    for index in order:
        forbidden = sorted(_forbidden(buffers, offsets, index))
        at = 0
        for start, stop in forbidden:
            if start < at < stop or at == start < stop:
                at = aligned(stop)
        offsets[index] = at
    return tuple(offsets[index] for index in range(len(buffers)))


def _forbidden(buffers: Sequence[Buffer], offsets: Mapping[int, int], index: int) -> Iterable[tuple[int, int]]:
    """Half-open ranges in which buffer `index` must not start."""
    mine = buffers[index]
    for other, offset in offsets.items():
        theirs = buffers[other]
        if mine.last < theirs.first or theirs.last < mine.first:
            continue
        low, high = offset - mine.size + 1, offset + theirs.size
        distance = mine.sources.get(other, theirs.sources.get(index))
        if distance is None:
            spans = [(low, high)]
        elif distance == SAME_PLACE:
            spans = [(low, offset), (offset + 1, high)]
        elif other in mine.sources:  # the other is my source: it starts far enough after me, or ends before me
            spans = [(offset - distance + 1, high)]
        else:
            spans = [(low, offset + distance)]
        yield from ((max(start, 0), stop) for start, stop in spans if stop > max(start, 0))
