"""Puts chains of factors in the places of layers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from compress.factorization.layers import Layer
from compress.factorization.methods import Factor, Task, whole_weights
from compress.lowering.nodes import add_constant, argument, constant, drop_unused
from compress.model import Model, refresh
from compress.pruning.analysis import named_arguments

CONVOLUTIONS: dict[int, Any] = {3: torch.ops.aten.conv1d.default, 4: torch.ops.aten.conv2d.default}
"""By the number of axes of the weight."""


def replace(model: Model, chains: Mapping[str, tuple[Task, tuple[Factor, ...]]]) -> tuple[fx.GraphModule, dict[fx.Node, fx.Node]]:
    """A copy of a model's graph with these layers replaced, and the model's nodes by those of the copy that stand for them.

    The factors of `layer` are `layer.0`, `layer.1` and so on, the last with a bias, so that outputs keep their means.
    """
    graph = model.copy_graph()
    nodes = dict(zip(graph.graph.nodes, model.graph.graph.nodes, strict=True))
    for node in list(graph.graph.nodes):
        found = next((each for each in chains.values() if each[0].layer.node is nodes[node]), None)
        if found is not None:
            last = _replace(graph, node, *found)
            nodes[last] = nodes.pop(node)
    drop_unused(graph)
    refresh(graph, model.example)
    return graph, {copied: node for copied, node in nodes.items() if copied in set(graph.graph.nodes)}


def _replace(graph: fx.GraphModule, node: fx.Node, task: Task, chain: tuple[Factor, ...]) -> fx.Node:
    """One layer; gives the node that makes its output now."""
    arguments: Any = node.args
    target, bias = str(arguments[1].target), argument(node, "bias")
    owner, _, leaf = target.rpartition(".")
    before = getattr(graph.get_submodule(owner), leaf)
    shift = _shift(task, chain, None if bias is None else constant(graph, bias))
    delattr(graph.get_submodule(owner), leaf)
    last: fx.Node = arguments[0]
    with graph.graph.inserting_before(node):
        for number, factor in enumerate(chain):
            if factor.copies > 1:
                last = graph.graph.call_function(torch.ops.aten.cat.default, ([last] * factor.copies, 1))
            name = f"{target.removesuffix('.weight')}.{number}"
            weight = add_constant(graph, f"{name}.weight", _like(before, _shaped(task.layer, factor, before)))
            added = add_constant(graph, f"{name}.bias", _like(before, shift)) if number == len(chain) - 1 else None
            last = _call(graph, node, factor, (last, weight, added))
            last.meta = dict(node.meta)
    node.replace_all_uses_with(last)
    graph.graph.erase_node(node)
    for constant_node in {arguments[1], bias} - {None}:
        if not constant_node.users:
            graph.graph.erase_node(constant_node)
    return last


def _shift(task: Task, chain: tuple[Factor, ...], bias: torch.Tensor | None) -> torch.Tensor:
    """The bias [channels] with which the outputs have the means that they had."""
    missing = task.layer.weights - whole_weights(task.layer, chain)
    shift = (missing @ task.seen.mean[:, :, None]).flatten()
    return shift if bias is None else shift + bias.double()


def _shaped(layer: Layer, factor: Factor, before: torch.Tensor) -> torch.Tensor:
    """A factor's weights as its operator wants them."""
    rows = factor.weights.flatten(0, 1)
    if layer.geometry.linear:
        return rows
    kernel = before.shape[2:] if factor.spatial else (1,) * (before.ndim - 2)
    return rows.reshape(len(rows), -1, *kernel)


def _like(before: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Numbers that learn as the ones before them did."""
    value = value.to(before.dtype).contiguous()
    return torch.nn.Parameter(value, before.requires_grad) if isinstance(before, torch.nn.Parameter) else value


def _call(graph: fx.GraphModule, node: fx.Node, factor: Factor, operands: tuple[Any, ...]) -> fx.Node:
    """The operator of a factor; stride, padding and dilation are those of the layer where the factor is the spatial one."""
    if operands[1].meta["val"].ndim == 2:
        return graph.graph.call_function(torch.ops.aten.linear.default, operands)
    groups = len(factor.weights)
    if not factor.spatial:
        rank = operands[1].meta["val"].ndim
        ones, zeros = [1] * (rank - 2), [0] * (rank - 2)
        return graph.graph.call_function(CONVOLUTIONS[rank], (*operands, ones, zeros, ones, groups))
    given = named_arguments(node, node.args, node.kwargs)
    target: Any = node.target
    return graph.graph.call_function(target, (*operands, given["stride"], given["padding"], given["dilation"], groups))
