"""Replacing nodes of a graph by others that compute the same."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import add_constant, operator_name, rank
from compress.model import layer_name

Rewrite = Callable[[fx.GraphModule, fx.Node], Any]
"""Gives the node or value that stands for a node from now on (a tuple where it has several outputs), having added to the graph what
that needs; None leaves the node alone."""


def rewrite(graph: fx.GraphModule, table: Mapping[str, Rewrite]) -> None:
    """Rewrites every node whose operator has a row in `table`, in place, in the graph's order."""
    for node in list(graph.graph.nodes):
        change = table.get(operator_name(node))
        if change is None:
            continue
        with graph.graph.inserting_before(node):
            replacement = change(graph, node)
        if replacement is not None:
            _replace(node, replacement)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def merge_equal(graph: fx.GraphModule) -> None:
    """Computes once what a graph computes several times from the same values, in place; converters do so too, and mix up scales then."""
    seen: dict[str, fx.Node] = {}
    for node in list(graph.graph.nodes):
        if node.op in ("call_function", "get_attr"):
            first = seen.setdefault(repr((node.op, node.target, node.args, sorted(node.kwargs.items()))), node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.graph.erase_node(node)
    graph.recompile()


def call(node: fx.Node, operator: Any, *arguments: Any) -> fx.Node:
    """A new node that belongs to the same layer as `node` and, as far as its metadata tells, has the same shape."""
    made = node.graph.call_function(operator, arguments)
    made.meta = node.meta | {"nn_module_stack": {"": (layer_name(node), "")}}
    return made


def number(graph: fx.GraphModule, node: fx.Node, value: float) -> fx.Node:
    """A constant with as many axes as the node's tensor, so that a converter needn't ask how it is laid out."""
    return add_constant(graph, f"{node.name}_operand_{len(graph.graph.nodes)}", torch.full([1] * rank(node), value))


def _replace(node: fx.Node, replacement: Any) -> None:
    if isinstance(replacement, tuple):
        for user in list(node.users):
            user.replace_all_uses_with(replacement[int(str(user.args[1]))])
            node.graph.erase_node(user)
    else:
        node.replace_all_uses_with(replacement)
    node.graph.erase_node(node)
