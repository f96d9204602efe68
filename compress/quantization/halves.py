"""Weights kept as float16 (IEEE 754 binary16): half the file, the arithmetic stays in float32."""

import torch
from torch import fx

from compress.lowering.nodes import add_constant, constant, drop_unused, is_float
from targets.errors import UserError


def halve(graph: fx.GraphModule) -> int:
    """Stores every float32 constant of two axes or more as float16, in place, read through a cast; gives how many.

    Raises UserError naming a weight that is beyond float16's range (65,504).
    """
    nodes = [node for node in graph.graph.nodes if node.op == "get_attr" and node.users and is_float(node)]
    halved: dict[str, fx.Node] = {}
    for node in nodes:
        name = str(node.target)
        weights = constant(graph, node) if name not in halved else None
        if weights is None or weights.dim() < 2 or weights.dtype != torch.float32:
            continue
        half = weights.half()
        if torch.isinf(half).any():
            raise UserError(f"quantize: weight '{name}' holds {weights.abs().max():g}, beyond float16's 65504; use scheme int8")
        with graph.graph.inserting_before(node):
            stored = add_constant(graph, name, half)
            real = graph.graph.call_function(torch.ops.aten.to.dtype, (stored, torch.float32))
        real.meta = {key: value for key, value in node.meta.items() if key != "val"}
        node.replace_all_uses_with(real)
        halved[name] = real
    graph.graph.eliminate_dead_code()
    drop_unused(graph)
    graph.recompile()
    return len(halved)
