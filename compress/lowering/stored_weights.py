"""Weights that are stored as integers and meet float activations, as exporters find them in a quantized graph."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import fx

from compress.lowering.constants import dequantized
from compress.lowering.nodes import add_constant, argument, constant, is_constant, operator_name
from compress.model import layer_name

ROUNDS = "round_dynamically"


@dataclass(frozen=True, eq=False)
class Stored:
    """One constant: `integers` (int8, of `bits` bits) times `scales`, both in torch's layout of the layer.

    `scales` (float32) are one for each index of `axis`, or one for each block along it where `in_blocks`: then they have the
    weights' axes. `dynamic` says that the layer rounds its activations as they come.
    """

    layer: str
    integers: torch.Tensor
    scales: torch.Tensor
    axis: int
    bits: int
    in_blocks: bool
    dynamic: bool
    real: torch.Tensor


def nodes(graph: fx.GraphModule) -> list[fx.Node]:
    """The dequantize nodes of such weights. Those of static schemes are left out: their layers read integers on both sides."""
    return [node for node in graph.graph.nodes if is_stored_weight(node) and is_constant(node.args[0]) and _is_int8(graph, node)]


def is_stored_weight(node: object) -> bool:
    """Whether a node makes real weights of integers for a layer whose activations are float."""
    if not isinstance(node, fx.Node) or operator_name(node) not in ("dequantize_per_channel", "dequantize_per_block"):
        return False
    beside = [operator_name(value) for user in node.users for value in user.all_input_nodes]
    return "dequantize_per_tensor" not in beside


def stored(graph: fx.GraphModule) -> list[Stored]:
    """All such weights of a graph."""
    return [describe(graph, node) for node in nodes(graph)]


def name_of(node: fx.Node) -> str:
    """The name of the constant that a dequantize node reads."""
    return str(cast(fx.Node, node.args[0]).target)


def make_real(graph: fx.GraphModule) -> None:
    """Stores them as float32, in place, and takes out the rounding of activations, for converters that know neither."""
    for node in nodes(graph):
        with graph.graph.inserting_before(node):
            real = add_constant(graph, f"{name_of(node)}_real", dequantized(graph, node))
        node.replace_all_uses_with(real)
    bypass(graph, lambda node: operator_name(node) == ROUNDS)


def bypass(graph: fx.GraphModule, which: Callable[[fx.Node], bool]) -> None:
    """Takes nodes out, in place: their readers read what they read."""
    for node in list(graph.graph.nodes):
        if which(node):
            node.replace_all_uses_with(node.args[0])
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _is_int8(graph: fx.GraphModule, node: fx.Node) -> bool:
    return constant(graph, node.args[0]).dtype == torch.int8


def describe(graph: fx.GraphModule, node: fx.Node) -> Stored:
    """The weights that one of `nodes` makes."""
    return Stored(
        layer=layer_name(next(iter(node.users))),
        integers=constant(graph, node.args[0]),
        scales=constant(graph, node.args[1]),
        axis=cast(int, argument(node, "axis")),
        bits=cast(int, argument(node, "quant_max")).bit_length() + 1,
        in_blocks=operator_name(node) == "dequantize_per_block",
        dynamic=any(operator_name(value) == ROUNDS for user in node.users for value in user.all_input_nodes),
        real=dequantized(graph, node),
    )
