"""Which values of a network and its teacher say the same: found by shapes, and by names where shapes are all alike."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import fx

from compress.lowering.nodes import constant, is_constant, operator_name
from compress.model import Model
from compress.schemas import schema
from targets.errors import UserError

MARGINS = frozenset({"pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"})
EVENLY = 4
"""How many layers are compared where all have one shape, as the blocks of a transformer have."""


@dataclass(frozen=True)
class Pair:
    """Two nodes by name, of maps with this many `positions` (1 where there are channels only).

    `axis` is that of the channels in both, of which there may be unlike numbers (student's, teacher's).
    """

    student: str
    teacher: str
    positions: int
    axis: int
    channels: tuple[int, int]


def pairs(student: Model, teacher: Model) -> tuple[Pair, ...]:
    """The last values of each size of map that both networks have, and what goes into their last layers, in the teacher's order.

    Two maps are of one size where all but their channels agree. Where maps have one size only, four layers of the same name in both
    networks, evenly apart, stand for it.
    """
    mine, theirs = _values(student), _values(teacher)
    found: list[Pair] = []
    for rank in sorted({_rank(node) for node in theirs}):
        by_axis = [_of_rank(mine, theirs, rank, axis) for axis in _axes(rank, theirs)]
        found += sorted(by_axis, key=len, reverse=True)[0]
    maps = [pair for pair in found if pair.positions > 1]
    if len(maps) == 1:
        found = [pair for pair in found if pair.positions == 1] + _evenly(mine, theirs, maps[0])
    order = {node.name: place for place, node in enumerate(theirs)}
    return tuple(sorted(found, key=lambda pair: order[pair.teacher]))


def embedding(model: Model) -> str:
    """The name of the node that goes into the last layer with weights, or of the prediction where no layer has any."""
    dependent = _dependent(model)
    node = prediction = _prediction(model)
    while node.op == "call_function":
        behind = [each for each in node.all_input_nodes if each in dependent]
        if not behind:
            break
        if _has_weights(model, node, dependent):
            return behind[0].name
        node = behind[0]
    return prediction.name


def _prediction(model: Model) -> fx.Node:
    output = model.graph.graph.output_node().args[0]
    while isinstance(output, tuple | list):
        output = output[0]
    if not isinstance(output, fx.Node):
        raise UserError(f"{model.name} gives no tensor to compare")
    return output


def _dependent(model: Model) -> set[fx.Node]:
    """The nodes that depend on the network's inputs."""
    found: set[fx.Node] = set()
    for node in model.graph.graph.nodes:
        if node.op == "placeholder" or any(each in found for each in node.all_input_nodes):
            found.add(node)
    return found


def _has_weights(model: Model, node: fx.Node, dependent: set[fx.Node]) -> bool:
    """Whether it works with a matrix or a kernel, or with something computed from one."""
    left = [each for each in node.all_input_nodes if each not in dependent]
    while left:
        each = left.pop()
        if is_constant(each) and constant(model.graph, each).ndim > 1:
            return True
        left += each.all_input_nodes
    return False


def _values(model: Model) -> list[fx.Node]:
    """Values [N, …] up to the one that goes into the last layer, in the order in which they are computed."""
    last, dependent = embedding(model), _dependent(model)
    nodes = list(model.graph.graph.nodes)
    end = next(place for place, node in enumerate(nodes) if node.name == last)
    computed = [node for node in nodes[: end + 1] if node.op == "call_function" and node in dependent]
    return [node for node in computed if _is_value(node, model) and not _moves(node)]


def _is_value(node: fx.Node, model: Model) -> bool:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return False
    return 2 <= value.ndim <= 5 and value.shape[0] == len(model.example[0])


def _moves(node: fx.Node) -> bool:
    """Whether an operator only moves values: a view of its input, or one with a margin."""
    declared = schema(node)
    return declared is not None and (declared.arguments[0].alias_info is not None or operator_name(node) in MARGINS)


def _rank(node: fx.Node) -> int:
    return int(node.meta["val"].ndim)


def _axes(rank: int, nodes: Iterable[fx.Node]) -> tuple[int, ...]:
    """Where channels may be, the likeliest first: second, or last in sequences unless there are convolutions along them."""
    if rank != 3:
        return (1,)
    return (1, 2) if any(operator_name(node) == "conv1d" for node in nodes) else (2, 1)


def _size(node: fx.Node, axis: int) -> tuple[int, ...]:
    shape = tuple(node.meta["val"].shape)
    return (*shape[1:axis], *shape[axis + 1 :])


def _of_rank(mine: list[fx.Node], theirs: list[fx.Node], rank: int, axis: int) -> list[Pair]:
    last_of_mine, last_of_theirs = ({_size(node, axis): node for node in nodes if _rank(node) == rank} for nodes in (mine, theirs))
    return [_pair(last_of_mine[size], node, axis) for size, node in last_of_theirs.items() if size in last_of_mine]


def _evenly(mine: list[fx.Node], theirs: list[fx.Node], like: Pair) -> list[Pair]:
    named = {node.name: node for node in mine}
    wanted = next(_size(node, like.axis) for node in theirs if node.name == like.teacher)
    rank = len(wanted) + 2
    alike = [
        (named[node.name], node)
        for node in theirs
        if node.name in named
        and _rank(node) == rank == _rank(named[node.name])
        and _size(node, like.axis) == _size(named[node.name], like.axis) == wanted
    ]
    chosen = {len(alike) * (step + 1) // EVENLY - 1 for step in range(EVENLY)} if alike else set()
    between = [_pair(*alike[place], like.axis) for place in sorted(chosen) if place >= 0 and alike[place][1].name != like.teacher]
    return [*between, like]


def _pair(student: fx.Node, teacher: fx.Node, axis: int) -> Pair:
    channels = (student.meta["val"].shape[axis], teacher.meta["val"].shape[axis])
    return Pair(student.name, teacher.name, math.prod(_size(teacher, axis)), axis, channels)
