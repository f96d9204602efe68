"""Where a quantized network becomes one of `own_operators` on the way to TFLite. Stored integers go to the operator as they are."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import fx

from compress.lowering import int16_forms
from compress.lowering.nodes import add_constant, argument, constant, is_constant, operator_name
from compress.lowering.own_operators import overload
from compress.model import layer_name
from targets.errors import ExportError

quantized_decomposed = torch.ops.quantized_decomposed
BETWEEN = ("dequantize_per_tensor", "quantize_per_tensor", "relu", "relu6", "hardtanh")
Node = Any
"""An `fx.Node` of a known operator, whose arguments are what its schema says."""
Change = Callable[[torch.Tensor], torch.Tensor]


def insert(graph: fx.GraphModule) -> None:
    """Puts these operators, in place, where a graph of quantize/dequantize pairs needs them."""
    for node in list(graph.graph.nodes):
        form = int16_forms.FORMS.get(operator_name(node)) if int16_forms.reads_int16(node) else None
        insertion = INSERTIONS.get(operator_name(node)) if form is None else partial(_replace, form)
        if insertion is not None and operator_name(node.all_input_nodes[0]) == "dequantize_per_tensor":
            with graph.graph.inserting_before(node):
                insertion(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _replace(form: int16_forms.Form, graph: fx.GraphModule, node: Node) -> None:
    made = form(graph, node)
    if made is not None:
        node.replace_all_uses_with(made)


def _call(node: Node, name: str, *arguments: object) -> Node:
    made = node.graph.call_function(overload(name), (*arguments, False))
    made.meta = dict(node.meta)
    return made


def _between_scales(graph: fx.GraphModule, node: Node) -> None:  # noqa: ARG001  one signature for all
    node.args = (_call(node, "requantize", node.args[0]), *node.args[1:])


def _prelu(graph: fx.GraphModule, node: Node) -> None:
    rank = node.args[0].meta["val"].dim()
    by_channel = [-1] if rank == 4 else [-1, *([1] * (rank - 2))]
    slopes = _stored(graph, node.args[1], lambda values: values.reshape(by_channel))
    node.replace_all_uses_with(_call(node, "prelu", node.args[0], slopes, *node.args[1].args[1:3]))


def _embedding(graph: fx.GraphModule, node: Node) -> None:
    table = _stored(graph, node.args[0], lambda values: values)
    rows = graph.graph.call_function(torch.ops.aten.to.dtype, (node.args[1], torch.int32))
    rows.meta = dict(node.args[1].meta)
    node.replace_all_uses_with(_call(node, "take_rows", table, rows, *node.args[0].args[1:3]))


def _transposed_convolution(graph: fx.GraphModule, node: Node) -> None:
    weight = _stored(graph, node.args[1], lambda values: values.permute(1, 2, 3, 0))
    bias = argument(node, "bias")
    if isinstance(bias, fx.Node):
        bias = _stored(graph, bias, lambda values: values)
    else:
        bias = add_constant(graph, f"{node.name}_no_bias", torch.zeros(node.meta["val"].shape[1], dtype=torch.int32))
    scales = constant(graph, node.args[1].args[1]).tolist()
    stride, padding = argument(node, "stride"), argument(node, "padding")
    node.replace_all_uses_with(_call(node, "transpose_conv", node.args[0], weight, bias, scales, stride, padding))


def _pixel_shuffle(graph: fx.GraphModule, node: Node) -> None:
    """The channels are put in order by the convolution that makes them, or one by one where that has other readers."""
    source, block = node.args
    order = torch.arange(source.meta["val"].shape[1]).reshape(-1, block * block).t().flatten()
    layer: Node = _only_layer(source)
    if layer is not None:
        with graph.graph.inserting_before(layer):
            for stored in (layer.args[1], argument(layer, "bias")):
                if isinstance(stored, fx.Node):
                    layer.replace_input_with(stored, _reordered(graph, stored, order))
    elif len(order) > block * block:
        source = _call(source, "take_channels", source, order.tolist())
        for operator in (quantized_decomposed.quantize_per_tensor, quantized_decomposed.dequantize_per_tensor):
            source = graph.graph.call_function(operator.default, (source, *node.args[0].args[1:]))
            source.meta = dict(node.args[0].meta)
    node.replace_all_uses_with(_call(node, "depth_to_space", source, block))


def _only_layer(source: Node) -> Node | None:
    """The convolution that makes a dequantized value which one node alone reads, activations in between."""
    node = source
    while operator_name(node) in BETWEEN and len(node.users) == 1 and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return node if operator_name(node) == "conv2d" and len(node.users) == 1 else None


def _stored(graph: fx.GraphModule, node: Node, change: Change) -> Node:
    """The integers behind a dequantize node, after `change`."""
    return _stored_constant(graph, node, node.args[0], change)


def _reordered(graph: fx.GraphModule, node: Node, order: torch.Tensor) -> Node:
    """A dequantize node for each channel (the first axis) whose channels are in another order."""
    parts = [_stored_constant(graph, node, part, lambda values: values[order]) for part in node.args[:3]]
    made = graph.graph.call_function(node.target, (*parts, *node.args[3:]))
    made.meta = dict(node.meta)
    return made


def _stored_constant(graph: fx.GraphModule, node: Node, part: object, change: Change) -> Node:
    if not isinstance(part, fx.Node) or not is_constant(part):
        raise ExportError(f"layer '{layer_name(node)}': its weights aren't stored in the network; leave 'tflite' out of 'export'")
    return add_constant(graph, f"{part.target}_{node.name}", change(constant(graph, part)).contiguous())


INSERTIONS: dict[str, Callable[[fx.GraphModule, Node], None]] = {
    "quantize_per_tensor": _between_scales,
    "prelu": _prelu,
    "embedding": _embedding,
    "conv_transpose2d": _transposed_convolution,
    "pixel_shuffle": _pixel_shuffle,
}
"""By the operator that they replace, or that they go before."""
