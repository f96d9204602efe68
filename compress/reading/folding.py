"""What a graph computes from constants alone is computed once: transposed weights, reordered gates, integers made real."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import drop_unused, is_constant

Keep = Callable[[fx.Node], bool]


def fold(graph: fx.GraphModule, keep: Keep = lambda _: False) -> None:
    """Replaces what depends on constants alone by its value, in place, but for the nodes that `keep` says.

    A result takes the name of the first constant that it is made of, if nobody else needs that, and trains if one of them does.
    """
    known: dict[fx.Node, Any] = {}
    for node in graph.graph.nodes:
        if is_constant(node):
            known[node] = _read(graph, str(node.target))
        elif node.op == "call_function" and node.all_input_nodes and not keep(node) and all(each in known for each in node.all_input_nodes):
            with torch.no_grad():
                known[node] = node.target(*fx.map_arg(node.args, known.__getitem__), **fx.map_arg(node.kwargs, known.__getitem__))
    results = [
        node
        for node, value in known.items()
        if node.op == "call_function" and isinstance(value, torch.Tensor) and any(user not in known for user in node.users)
    ]
    needed = {str(node.target) for node in known if is_constant(node) and any(user not in known for user in node.users)}
    for node, sources in [(node, _sources(node)) for node in results]:  # all told before anything is replaced
        trained = any(isinstance(known[source], torch.nn.Parameter) for source in sources)
        name = next((str(source.target) for source in sources if str(source.target) not in needed), f"{sources[0].target}_{node.name}")
        needed.add(name)
        _replace(graph, node, name, known[node], trained)
    graph.graph.eliminate_dead_code()
    drop_unused(graph)
    graph.recompile()


def _replace(graph: fx.GraphModule, node: fx.Node, name: str, value: torch.Tensor, trained: bool) -> None:
    owner, _, leaf = name.rpartition(".")
    module = graph.get_submodule(owner)
    if hasattr(module, leaf):
        delattr(module, leaf)
    if trained and value.is_floating_point():
        module.register_parameter(leaf, torch.nn.Parameter(value.clone()))
    else:
        module.register_buffer(leaf, value.clone())
    with graph.graph.inserting_before(node):
        stored = graph.graph.get_attr(name)
    stored.meta["val"] = value.to("meta")
    node.replace_all_uses_with(stored)
    graph.graph.erase_node(node)


def _read(graph: fx.GraphModule, name: str) -> torch.Tensor:
    owner, _, leaf = name.rpartition(".")
    found: torch.Tensor = getattr(graph.get_submodule(owner), leaf)
    return found


def _sources(node: fx.Node) -> list[fx.Node]:
    if is_constant(node):
        return [node]
    return list(dict.fromkeys(source for each in node.all_input_nodes for source in _sources(each)))
