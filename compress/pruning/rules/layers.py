"""Operators that make new channels from old ones: convolutions, linear layers, products, attention, embeddings."""

from typing import Any

import torch
from torch import fx

from compress.model import layer_name
from compress.pruning.analysis import Call, Layer, Rule, named_arguments, untransposed
from compress.pruning.labels import Labels, pinned, spread
from compress.pruning.rules.pointwise import combine, keep_all


def convolution(call: Call) -> Any:
    """Weight [out, in / groups, …]; channels are axis 1."""
    return _convolution(call, 0, 1, _positions(call, call.result, 1))


def transposed_convolution(call: Call) -> Any:
    """Weight [in, out / groups, …]; channels are axis 1."""
    return _convolution(call, 1, 0, _positions(call, call.values["input"], 1))


def linear(call: Call) -> Any:
    """Weight [out, in], or transposed from [in, out]; channels are the last axis."""
    weight, output_axis = untransposed(call.operands["weight"])
    if weight is None or call.values["weight"].ndim != 2:
        return keep_all(call, "its weight is calculated")
    input_axis = 1 - output_axis
    if (rows := _rows_that_go(call)) is not None:
        return rows
    call.analysis.weight_axis(weight, input_axis, call.along("input", -1))
    return _new_channels(call, Layer(layer_name(call.node), weight, output_axis, input_axis, _positions(call, call.result, -1)), -1)


def product_added(call: Call) -> Any:
    """addmm: a matrix [n, k] times a weight [k, m], and a bias."""
    weight = call.weight("mat2")
    if weight is None or (call.weight("self") is None and isinstance(call.operands["self"], fx.Node)):
        return keep_all(call, "its weight or bias is calculated")
    call.analysis.weight_axis(weight, 0, call.along("mat1", -1))
    return _new_channels(call, Layer(layer_name(call.node), weight, 1, 0, _positions(call, call.result, -1)), -1, "self")


def _rows_that_go(call: Call) -> Labels | None:
    """The result's labels where channels lie across the rows [..., in] that a linear layer takes (as in an MLP-Mixer): whole rows go."""
    labels = call.labels("input")
    across = [axis for axis in range(labels.ndim - 1) if call.classes.varies(labels, axis)]
    if not across or call.classes.varies(labels, labels.ndim - 1):
        return None
    call.analysis.vanishing.discard(call.node)  # a bias is added to every row
    return labels[..., :1].expand(call.result.shape)


def product(call: Call) -> Any:
    """matmul, mm, bmm [..., n, k] x [..., k, m]: what is summed over is tied and gone; the rest broadcasts."""
    first, second = (name for name in call.operands if name in ("self", "other", "mat2"))
    weight = call.weight(second)
    if weight is not None and call.values[second].ndim == 2:
        call.analysis.weight_axis(weight, 0, call.along(first, -1))
        return _new_channels(call, Layer(layer_name(call.node), weight, 1, 0, _positions(call, call.result, -1)), -1)
    if min(call.values[first].ndim, call.values[second].ndim) < 2:
        return keep_all(call, "a product with a vector is not followed")
    left, right = call.labels(first), call.labels(second)
    if call.classes.varies(left, -1 % left.ndim) or call.classes.varies(right, -2 % right.ndim):
        call.classes.tie(call.classes.along(left, -1), call.classes.along(right, -2))
    left = pinned(left[..., :1].shape) if call.classes.varies(left, left.ndim - 1) else left[..., :1]
    right = pinned(right[..., :1, :].shape) if call.classes.varies(right, right.ndim - 2) else right[..., :1, :]
    return combine(call.classes, [left, right], call.result.shape)


def attention(call: Call) -> Any:
    """Queries, keys and values [batch, heads, length, size]: a head goes whole; several query heads may share one of keys and values."""
    if call.values["query"].ndim != 4:
        return keep_all(call, "attention without an axis of heads is not followed")
    heads = call.along("query", 1)
    mask = call.values["attn_mask"]
    if mask is not None and mask.ndim > 2 and mask.shape[-3] > 1:
        call.classes.tie(call.along("attn_mask", -3), heads)
    for name in ("key", "value"):
        shared = call.along(name, 1)
        call.classes.tie(heads.reshape(len(shared), -1), shared[:, None])
    return spread(heads, 1, call.result.shape)


def embedding(call: Call) -> Any:
    """Weight [words, size]; the size becomes the last axis."""
    weight = call.weight("weight")
    if weight is None:
        return keep_all(call, "its weight is calculated")
    return spread(call.analysis.new_axis(weight, 1, call.result.shape[-1]), -1, call.result.shape)


def _convolution(call: Call, output_axis: int, input_axis: int, positions: int) -> Any:
    weight = call.weight("weight")
    if weight is None or call.result.ndim != call.values["weight"].ndim:
        return keep_all(call, "its weight is calculated, or it has no batch axis")
    layer = Layer(layer_name(call.node), weight, output_axis, input_axis, positions)
    if call.values["groups"] > 1:
        return _grouped(call, layer, call.values["groups"])
    call.analysis.weight_axis(weight, input_axis, call.along("input", 1))
    return _new_channels(call, layer, 1)


def _grouped(call: Call, layer: Layer, groups: int) -> Labels:
    """Groups of few channels go whole, with what they make (a depthwise convolution's are of one); of larger ones each loses the same."""
    inputs = call.along("input", 1).reshape(groups, -1)
    outputs = call.classes.fresh(call.result.shape[1]).reshape(groups, -1)
    whole = inputs.shape[1] < groups
    if whole:
        call.classes.tie(inputs, inputs[:, :1])
        call.classes.tie(outputs, inputs[:, :1])
    else:
        call.classes.tie(inputs, inputs[:1])
        call.classes.tie(outputs, outputs[:1])
    of_axis = {layer.output_axis: outputs, layer.input_axis: inputs}
    call.analysis.weight_axis(layer.weight, 0, of_axis[0].flatten())
    if not whole:
        call.analysis.weight_axis(layer.weight, 1, of_axis[1][0])
    call.analysis.layers.append(layer)
    if (bias := call.weight("bias")) is not None:
        call.analysis.weight_axis(bias, 0, outputs.flatten())
    return spread(outputs.flatten(), 1, call.result.shape)


def _new_channels(call: Call, layer: Layer, channel_axis: int, shift: str = "bias") -> Labels:
    vector = call.analysis.new_axis(layer.weight, layer.output_axis, call.result.shape[channel_axis])
    if (bias := call.weight(shift)) is not None:
        call.analysis.weight_axis(bias, 0, vector)
    call.analysis.layers.append(layer)
    return spread(vector, channel_axis, call.result.shape)


def _positions(call: Call, value: torch.Tensor, channel_axis: int) -> int:
    """At how many places of one sample a channel is calculated."""
    return value.numel() // (value.shape[channel_axis] * call.analysis.batch)


def adjust_groups(cut: Any, node: fx.Node) -> None:
    """As many groups as are left, where groups went whole."""
    given = named_arguments(node, node.args, node.kwargs)
    before, after = cut.sizes(given["input"], 1)
    if given["groups"] > 1 and before // given["groups"] < given["groups"]:
        given["groups"] = given["groups"] * after // before
        node.args, node.kwargs = tuple(given.values()), {}


_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")

RULES = {
    **dict.fromkeys(_CONVOLUTIONS, Rule(convolution, adjust_groups)),
    **dict.fromkeys(_TRANSPOSED, Rule(transposed_convolution, adjust_groups)),
    "linear": Rule(linear),
    **dict.fromkeys(("matmul", "mm", "bmm"), Rule(product)),
    "addmm": Rule(product_added),
    "scaled_dot_product_attention": Rule(attention),
    "embedding": Rule(embedding),
}
