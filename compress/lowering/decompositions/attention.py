"""Scaled dot-product attention: two products of matrices and a softmax."""

import math
from typing import Any

import torch
from torch import fx

from compress.lowering.decompositions.normalization import wide
from compress.lowering.nodes import add_constant, argument, constant, is_constant
from compress.lowering.rewriting import call, number

aten = torch.ops.aten
MASKED = -100.0
"""Added to a score that must not count: exp(-100) is nothing, and scores keep their precision in 16 bits."""


def attention(graph: fx.GraphModule, node: Any) -> fx.Node | None:
    """softmax(q k^T / sqrt(size) + mask) v; a mask that the network computes is left alone, and so refused."""
    query, key, value = node.args[:3]
    given, scale = argument(node, "attn_mask"), argument(node, "scale")
    if (given is not None and not is_constant(given)) or argument(node, "enable_gqa"):
        return None
    factor = 1 / math.sqrt(query.meta["val"].shape[-1]) if scale is None else float(str(scale))
    scaled = call(node, aten.mul.Tensor, query, number(graph, query, factor))
    scores = call(node, aten.matmul.default, scaled, call(node, aten.transpose.int, key, -2, -1))
    mask = _mask(graph, node, given)
    if mask is None:
        return call(node, aten.matmul.default, call(node, aten.softmax.int, scores, -1), value)
    name = f"{node.name}_mask_{len(graph.graph.nodes)}"
    masked = wide(call(node, aten.add.Tensor, scores, add_constant(graph, name, mask)))
    return call(node, aten.matmul.default, wide(call(node, aten.softmax.int, masked, -1)), value)


def _mask(graph: fx.GraphModule, node: Any, given: object) -> torch.Tensor | None:
    """What is added to scores, with as many axes as they have."""
    query, key = (node.args[position].meta["val"].shape for position in (0, 1))
    if given is not None:
        mask = constant(graph, given)
        mask = torch.where(mask, 0.0, MASKED) if mask.dtype == torch.bool else mask.float().clamp(min=MASKED)
    elif argument(node, "is_causal"):
        mask = torch.where(torch.ones(query[-2], key[-2], dtype=torch.bool).tril(), 0.0, MASKED)
    else:
        return None
    return mask.reshape(*([1] * (len(query) - mask.dim())), *mask.shape)
