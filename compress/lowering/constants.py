"""Weights as a converter wants them: the integers or halves of a quantized graph, and real numbers beside them."""

import torch
from torch import fx

from compress.lowering.nodes import add_constant, argument, constant, is_constant, operator_name

FOUR_BITS = 7
"""The largest integer of a weight of 4 bits."""


def dequantized(graph: fx.GraphModule, node: fx.Node) -> torch.Tensor:
    """The real values of a dequantize node that reads constants only."""
    arguments = [constant(graph, value) if is_constant(value) else value for value in node.args]
    values: torch.Tensor = node.target(*arguments, **node.kwargs)  # type: ignore[operator]  # a call_function's target is callable
    return values


def is_stored(node: fx.Node) -> bool:
    """Whether a node turns stored integers or halves into real numbers."""
    return operator_name(node) in ("dequantize_per_channel", "dequantize_per_tensor", "to", "_to_copy") and is_constant(node.args[0])


def four_bit_weights(graph: fx.GraphModule) -> dict[str, torch.Tensor]:
    """The names of the weights that have 4 bits, stored in int8, each with the scales of its channels (float32)."""
    names = ("dequantize_per_channel", "dequantize_per_block")
    nodes = [node for node in graph.graph.nodes if operator_name(node) in names and is_constant(node.args[0])]
    return {str(node.args[0].target): constant(graph, node.args[1]) for node in nodes if argument(node, "quant_max") == FOUR_BITS}


def expand(graph: fx.GraphModule) -> None:
    """Stores every constant of a quantized graph as float32, in place.

    Weights get a quantize node before their dequantize node, which gives the same integers back. A bias (int32) becomes real
    numbers alone, since its scale follows from those of input and weights. So do halves.
    """
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or not is_stored(node):
            continue
        stored = node.args[0]
        with graph.graph.inserting_before(node):
            real = add_constant(graph, f"{stored.target}_real", dequantized(graph, node))
            integers = constant(graph, stored).dtype
            if integers in (torch.int8, torch.int16):
                quantize = getattr(torch.ops.quantized_decomposed, operator_name(node).removeprefix("de")).default
                node.replace_input_with(stored, graph.graph.call_function(quantize, (real, *node.args[1:])))
            else:
                node.replace_all_uses_with(real)
    graph.graph.eliminate_dead_code()
    graph.recompile()
