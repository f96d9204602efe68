"""How much memory a network's activations take: as the C compiler would place them, or those that are needed at one time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.pruning.analysis import operator
from compress.pruning.choice import Kept
from compress.pruning.latency import Place, places
from compress.pruning.sizes import Product, Sizes
from compress.staircase.files import Precision
from targets.microcontroller.compiler.planner import Buffer, aligned, plan

BYTES = {"int8": 1, "float": 4}

VIEWS = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "contiguous", "to", "detach"})
SUMS = frozenset({"add", "sub", "mul"})
"""These may write over an operand."""


@dataclass
class _Value:
    """A tensor that takes memory: its size, the steps from its first to its last use, and the one that it may be written over."""

    elements: Product
    first: int
    last: int
    place: Place | None = None
    operands: tuple[int, ...] = ()
    outside: bool = False


def of(sizes: Sizes, board: str | None, precision: Precision) -> Callable[[Kept], int]:
    """Bytes for any number of channels, inputs and outputs counted.

    On a microcontroller by the C compiler's own plan, with what it needs for each operator; elsewhere the largest set of activations that
    is needed at one time. What is done to each element alone is done in place.
    """
    values = _values(sizes)
    number = BYTES[precision]
    if board is not None and _compiled(board):
        return lambda kept: _planned(values, kept, precision)
    steps = sorted({value.first for value in values})
    return lambda kept: max(sum(number * value.elements(kept) for value in values if value.first <= step <= value.last) for step in steps)


def _compiled(board: str) -> bool:
    from targets import boards

    return boards.load(board).target == "microcontroller"


def _planned(values: list[_Value], kept: Kept, precision: Precision) -> int:
    """Arena, inputs and outputs."""
    from compress.staircase.memory import needs

    size = [BYTES[precision] * value.elements(kept) for value in values]
    inside = {number: place for place, number in enumerate(number for number, value in enumerate(values) if not value.outside)}
    buffers, scratch = [], []
    for number in inside:
        value, sources = values[number], {}
        if value.place is not None:
            needed = needs(value.place.with_channels(kept), precision)
            if needed.scratch_bytes:
                scratch.append(Buffer(aligned(needed.scratch_bytes), value.first, value.first))
            if needed.distance is not None and value.operands:
                sources = dict.fromkeys(value.operands[:1], needed.distance)
        elif value.operands:
            sources = dict.fromkeys(value.operands, 0)
        free = {inside[each]: distance for each, distance in sources.items() if each in inside and values[each].last == value.first}
        buffers.append(Buffer(aligned(size[number]), value.first, value.last, free))
    outside = sum(bytes_ for bytes_, value in zip(size, values, strict=True) if value.outside)
    return plan([*buffers, *scratch]).arena_bytes + outside


def _values(sizes: Sizes) -> list[_Value]:
    """What takes memory, in the order in which it is made; views and what is done in place take none of their own."""
    timed = places(sizes)
    owners: dict[fx.Node, int] = {}
    values: list[_Value] = []
    nodes = list(sizes.graph.graph.nodes)
    for step, node in enumerate(nodes):
        operands = [owners[each] for each in node.all_input_nodes if each in owners]
        for each in operands:
            values[each].last = step
        labels: Any = sizes.analysis.labels.get(node)
        if node.op == "output":
            for each in operands:
                values[each].outside = True
        elif isinstance(labels, torch.Tensor) and node.op in ("placeholder", "call_function"):
            if operands and node not in timed and _in_place(node, values[operands[0]], step, sizes):
                owners[node] = operands[0]
            else:
                owners[node] = len(values)
                sums = operator(node) in SUMS if node.op == "call_function" else False
                same = tuple(operands) if sums or node in timed else ()
                values.append(_Value(sizes.elements(labels), step, step, timed.get(node), same, node.op == "placeholder"))
    return values


def _in_place(node: fx.Node, operand: _Value, step: int, sizes: Sizes) -> bool:
    """Whether a node's value is its operand's memory: a view, or something done to each element of what nothing else needs."""
    if node.op != "call_function":
        return False
    if operator(node) in VIEWS:
        return True
    given = [each for each in node.all_input_nodes if each.op != "get_attr"]
    alone = len(given) == 1 and len(given[0].users) == 1 and operand.last == step
    return alone and sizes.elements(sizes.analysis.labels[node]) == operand.elements
