"""Residual blocks that keep their shape, x + f(x): a network without one of them still works, as f is left out."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import fx

from compress.context import Context
from compress.lowering.nodes import constant, is_constant
from compress.model import Model, first_output, layer_name, refresh
from compress.pruning.analysis import operator
from compress.pruning.patches import calibration_batches
from compress.schemas import schema

SAMPLES = 64
"""Of the calibration part, by which blocks are chosen."""


@dataclass(frozen=True, eq=False)
class Block:
    """`joined` is the sum, `shortcut` its x; the name is what its layers' names have in common."""

    name: str
    joined: fx.Node
    shortcut: fx.Node


def find(model: Model) -> tuple[Block, ...]:
    """The blocks of a network with layers in them, in order."""
    found = []
    for node in model.graph.graph.nodes:
        shortcut = _shortcut(node)
        if shortcut is not None:
            layers = _layers(model.graph, _dead(model.graph.graph, {node: shortcut}))
            if layers:
                found.append(Block(_common(layers), node, shortcut))
    return tuple(found)


def without(model: Model, blocks: Iterable[Block]) -> tuple[fx.GraphModule, dict[fx.Node, fx.Node]]:
    """A copy of a model's graph that lacks some blocks, and the model's nodes by those of the copy."""
    graph = model.copy_graph()
    copies = dict(zip(model.graph.graph.nodes, graph.graph.nodes, strict=True))
    gone = {block.joined: block.shortcut for block in blocks}
    for joined in reversed([node for node in copies if node in gone]):  # so that a sum's shortcut may be a sum that goes too
        shortcut = gone[joined]
        copies[joined].replace_all_uses_with(copies[shortcut])
        for user in copies[shortcut].users:
            _leave_alone(user)
    dead = _dead(model.graph.graph, gone)
    for node in reversed(list(model.graph.graph.nodes)):
        if node in dead or node in gone:
            graph.graph.erase_node(copies.pop(node))
    graph.delete_all_unused_submodules()
    refresh(graph, model.example)
    return graph, {copied: node for node, copied in copies.items()}


def drop_repeated_relus(graph: fx.GraphModule) -> None:
    """Leaves out each relu of a relu, in place."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and operator(node) == "relu" and operator(node.all_input_nodes[0]) == "relu":
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.graph.erase_node(node)
    graph.recompile()


def least_important(model: Model, blocks: Collection[Block], count: int, context: Context) -> list[tuple[Block, float]]:
    """Of the blocks those that are missed least, one after the other, with what all outputs are off without it and those before.

    `count`, or fewer where all others lie in those that go. What outputs are off is the root of
    the mean square, relative to the outputs' own, over the first calibration samples.
    """
    part = context.data.calibration.first(SAMPLES)
    largest = max(value.numel() for node in model.graph.graph.nodes if isinstance(value := node.meta.get("val"), torch.Tensor))
    batches = list(calibration_batches(part, model.free_batch, largest))
    wanted = [first_output(model.graph(*batch)).detach() for batch in batches]
    chosen: list[tuple[Block, float]] = []
    with torch.no_grad(), context.progress.task("blocks that are missed least", count) as task:
        for _ in range(count):
            before = [block for block, _ in chosen]
            dead = _dead(model.graph.graph, {block.joined: block.shortcut for block in before})
            left = [block for block in blocks if block not in before and block.joined not in dead]
            if not left:
                break  # what is left lies in blocks that are gone
            errors = {block: _error(model.graph, [*before, block], batches, wanted) for block in left}
            best = min(errors, key=errors.__getitem__)
            chosen.append((best, errors[best]))
            task.advance(note=best.name)
    return chosen


def _error(graph: fx.GraphModule, blocks: Iterable[Block], batches: list[Any], wanted: list[torch.Tensor]) -> float:
    runner = _Without(graph, {block.joined: block.shortcut for block in blocks})
    given = [first_output(runner.run(*batch)) for batch in batches]
    off = sum(float((one - other).square().sum()) for one, other in zip(given, wanted, strict=True))
    return float((off / max(sum(float(each.square().sum()) for each in wanted), 1e-30)) ** 0.5)


class _Without(fx.Interpreter):
    """Runs a graph as if some sums were their shortcuts."""

    def __init__(self, graph: fx.GraphModule, gone: dict[fx.Node, fx.Node]) -> None:
        super().__init__(graph)
        self.gone, self.dead = gone, _dead(graph.graph, gone)

    def run_node(self, n: fx.Node) -> Any:
        if n in self.dead:
            return None
        return self.env[self.gone[n]].clone() if n in self.gone else super().run_node(n)


def _leave_alone(node: fx.Node) -> None:
    """Has an operator that changes its operand in place give a value of its own."""
    declared = schema(node)
    if declared is not None and declared.is_mutable:
        packet = getattr(torch.ops.aten, str(declared.name).partition("::")[2].removesuffix("_"))
        node.target = getattr(packet, declared.overload_name or "default")


def _shortcut(node: fx.Node) -> fx.Node | None:
    """The operand of a sum that the other one is computed from, where both have the sum's shape."""
    operands = [each for each in node.args[:2] if isinstance(each, fx.Node) and isinstance(each.meta.get("val"), torch.Tensor)]
    if node.op != "call_function" or operator(node) != "add" or node.kwargs or len(operands) != 2:
        return None
    if any(each.meta["val"].shape != node.meta["val"].shape or is_constant(each) for each in operands):
        return None
    first, second = operands
    return next((one for one, other in ((first, second), (second, first)) if one in _needed([other]) and one is not other), None)


def _needed(nodes: Iterable[fx.Node], instead: dict[fx.Node, fx.Node] | None = None) -> set[fx.Node]:
    """The nodes and all that they are computed from, where some sums are their shortcuts."""
    found: set[fx.Node] = set()
    left = list(nodes)
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += [instead[node]] if instead and node in instead else node.all_input_nodes
    return found


def _dead(graph: fx.Graph, gone: dict[fx.Node, fx.Node]) -> set[fx.Node]:
    """The nodes that nothing needs any more."""
    live = _needed([graph.output_node()], gone)
    return {node for node in graph.nodes if node not in live and node.op != "placeholder"}


def _layers(graph: fx.GraphModule, nodes: Collection[fx.Node]) -> list[str]:
    """The names of layers with matrices or kernels among nodes."""
    weighted = [node for node in nodes if any(is_constant(each) and constant(graph, each).ndim > 1 for each in node.all_input_nodes[1:])]
    return sorted({layer_name(node) for node in weighted})


def _common(layers: list[str]) -> str:
    """`layer1.0` of `layer1.0.conv1` and `layer1.0.conv2`; all names where they have nothing in common."""
    parts = zip(*(layer.split(".") for layer in layers), strict=False)
    same = [each[0] for each in takewhile(lambda each: len(set(each)) == 1, parts)]
    return ".".join(same) or ", ".join(layers)
