"""Layer normalization, step by step."""

from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import argument
from compress.lowering.rewriting import call, number

aten = torch.ops.aten
WIDE = "wide"
"""The key in a node's metadata that asks for activations of 16 bits: a variance spans too much for 8."""


def layer_norm(graph: fx.GraphModule, node: Any) -> fx.Node:
    """(x - mean) times 1 / sqrt(variance + epsilon), then times weight, plus bias."""
    axes = [-(axis + 1) for axis in range(len(node.args[1]))]
    weight, bias, epsilon = argument(node, "weight"), argument(node, "bias"), float(str(argument(node, "eps")))
    centred = _wide(node, aten.sub.Tensor, node.args[0], _wide(node, aten.mean.dim, node.args[0], axes, True))
    variance = _wide(node, aten.mean.dim, _wide(node, aten.mul.Tensor, centred, centred), axes, True)
    deviation = _wide(node, aten.rsqrt.default, _wide(node, aten.add.Tensor, variance, number(graph, node, epsilon)))
    made = _wide(node, aten.mul.Tensor, centred, deviation)
    made = made if weight is None else _wide(node, aten.mul.Tensor, made, weight)
    return made if bias is None else _wide(node, aten.add.Tensor, made, bias)


def _wide(node: fx.Node, operator: Any, *arguments: Any) -> fx.Node:
    return wide(call(node, operator, *arguments))


def wide(node: fx.Node) -> fx.Node:
    """The node, which asks for 16 bits."""
    node.meta[WIDE] = True
    return node
