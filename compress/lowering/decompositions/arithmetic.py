"""Division of two tensors."""

import torch
from torch import fx

from compress.lowering.nodes import argument
from compress.lowering.rewriting import call, number

aten = torch.ops.aten


def division(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Times the reciprocal: TFLite's int8 kernel gives wrong numbers where the dividend is 0, so that is always 1."""
    dividend, divisor = node.args[:2]
    if not isinstance(dividend, fx.Node) or not isinstance(divisor, fx.Node) or argument(node, "rounding_mode") is not None:
        return None
    return call(node, aten.mul.Tensor, dividend, _reciprocal(graph, divisor))


def reciprocal(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """One divided by a tensor."""
    return _reciprocal(graph, node.args[0]) if isinstance(node.args[0], fx.Node) else None


def _reciprocal(graph: fx.GraphModule, divisor: fx.Node) -> fx.Node:
    return call(divisor, aten.div.Tensor, number(graph, divisor, 1.0), divisor)
