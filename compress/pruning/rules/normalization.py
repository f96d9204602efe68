"""Normalization, pooling and reductions: statistics over channels that are removed would change, so those stay."""

import re
from typing import Any

import torch
from torch import fx

from compress.pruning.analysis import Call, Rule, operator
from compress.pruning.labels import Labels, pinned, spread
from compress.pruning.rules.pointwise import keep_all


def batch_norm(call: Call) -> Labels:
    """Each channel (axis 1) has its own statistics, scale and shift."""
    if (scale := call.weight("weight")) is not None:
        call.analysis.scales.append(scale)
    return _per_channel(call, ("weight", "bias", "running_mean", "running_var"))


def prelu(call: Call) -> Labels:
    """A slope a channel, or one for all."""
    return _per_channel(call, ("weight",) if call.values["weight"].numel() > 1 else ())


def group_norm(call: Call) -> Labels:
    """Channels of a group share their statistics. Small groups go whole; of large ones each loses the same, and those left are counted."""
    groups = call.along("input", 1).reshape(call.values["num_groups"], -1)
    call.classes.tie(groups, groups[:, :1] if _go_whole(groups.numel(), len(groups)) else groups[:1])
    return _per_channel(call, ("weight", "bias"))


def adjust_group_norm(cut: Any, node: fx.Node) -> None:
    """As many groups as are left, where they went whole."""
    before, after = cut.sizes(node.args[0], 1)
    arguments: Any = node.args
    if _go_whole(before, arguments[1]):
        node.update_arg(1, arguments[1] * after // before)


def layer_norm(call: Call) -> Labels:
    """Statistics are taken over the channels that are left; several axes, or none that has weights, stay."""
    labels = call.labels("input")
    if not call.classes.varies(labels, labels.ndim - 1):
        return _keep_over(call, "input", range(-len(call.values["normalized_shape"]), 0), "layer_norm takes its statistics over them")
    if len(call.values["normalized_shape"]) > 1 or call.weight("weight") is None:
        return _keep_over(
            call, "input", range(-len(call.values["normalized_shape"]), 0), "layer_norm without a scale takes statistics over them"
        )
    return _per_channel(call, tuple(name for name in ("weight", "bias") if name in call.operands), -1)


def adjust_layer_norm(cut: Any, node: fx.Node) -> None:
    """As many channels as are left."""
    arguments: Any = node.args
    if len(arguments[1]) == 1:
        node.update_arg(1, [cut.sizes(node.args[0], -1)[1]])


def masked_norm(cut: Any, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    """Group or layer norm of the channels that are left; the rest 0."""
    arguments: Any = fx.node.map_arg(node.args, values.__getitem__)
    target: Any = node.target
    value, over, *others = arguments
    axis = value.ndim - 1 if isinstance(over, list | tuple) else 1
    kept = cut.keeps(cut.analysis.labels[node.args[0]], axis).nonzero().flatten()
    if len(kept) == value.shape[axis]:
        return target(*arguments, **node.kwargs)
    if not isinstance(over, int):
        over = [len(kept)]
    elif _go_whole(value.shape[1], over):
        over = over * len(kept) // value.shape[1]
    left = [each[kept] if isinstance(each, torch.Tensor) else each for each in others]
    return torch.zeros_like(value).index_copy(axis, kept, target(value.index_select(axis, kept), over, *left, **node.kwargs))


def softmax(call: Call) -> Labels:
    """What sums to one stays."""
    return _keep_over(call, "self", (call.values["dim"],), "a softmax is taken over them")


def pool(call: Call) -> Any:
    """Pooling and resizing work within each channel (axis 1) and change only the axes behind it; some give indices as well."""
    name = next(iter(call.operands))
    results = call.result if isinstance(call.result, tuple) else (call.result,)
    spatial = int(re.findall(r"(\d)d", operator(call.node))[0])
    if any(each.ndim != spatial + 2 for each in results):
        return keep_all(call, f"{operator(call.node)} without a batch axis is not followed")
    labels = tuple(spread(call.along(name, 1), 1, each.shape) for each in results)
    return labels if isinstance(call.result, tuple) else labels[0]


def reduce(call: Call) -> Labels:
    """Mean, maximum and the like: what they are taken over stays."""
    labels = _keep_over(call, "self", _reduced(call), "a reduction is taken over them")
    index = tuple(slice(1) if axis in _reduced(call) else slice(None) for axis in range(labels.ndim))
    return labels[index].reshape(call.result.shape)


def add_up(call: Call) -> Labels:
    """A sum or mean over channels: a removed one adds nothing, where it would be 0."""
    labels = call.labels("self")
    axis = next((axis for axis in _reduced(call) if call.classes.varies(labels, axis)), None)
    if axis is None or call.node.all_input_nodes[0] not in call.analysis.vanishing:
        return reduce(call)
    call.classes.along(labels, axis)
    return pinned(call.result.shape)


def adjust_mean(cut: Any, node: fx.Node) -> None:
    """A mean is still one over as many as there were."""
    before, after = cut.element_counts(node.args[0])
    if before != after and cut.element_counts(node)[0] == cut.element_counts(node)[1]:
        with node.graph.inserting_after(node):
            scaled = node.graph.call_function(torch.ops.aten.mul.Tensor, (node, after / before))
        node.replace_all_uses_with(scaled, delete_user_cb=lambda user: user is not scaled)
        cut.replace(node, scaled)


def _go_whole(channels: int, groups: int) -> bool:
    return channels // groups < groups


def _reduced(call: Call) -> tuple[int, ...]:
    given, rank = call.values.get("dim"), call.values["self"].ndim
    if given is None or given == []:
        return tuple(range(rank))
    return tuple(axis % rank for axis in (given if isinstance(given, tuple | list) else (given,)))


def _per_channel(call: Call, weights: tuple[str, ...], channel_axis: int = 1) -> Labels:
    name = next(iter(call.operands))
    vector = call.along(name, channel_axis)
    for weight in weights:
        if (attribute := call.weight(weight)) is not None:
            call.analysis.weight_axis(attribute, 0, vector)
        elif isinstance(call.values[weight], torch.Tensor):
            call.keep(vector, f"the {weight} of its normalization is calculated")
    return call.labels(name)


def _keep_over(call: Call, operand: str, axes: Any, reason: str) -> Labels:
    labels = call.labels(operand)
    if any(call.classes.varies(labels, axis % labels.ndim) for axis in axes):
        call.keep(labels, reason)
    return labels


_SPATIAL = ("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool", "upsample_nearest")
_RESIZES = ("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d", "max_pool2d_with_indices")
_REDUCTIONS = ("amax", "amin", "prod", "var", "std", "logsumexp", "argmax", "argmin", "norm", "linalg_vector_norm")

RULES = {
    "batch_norm": Rule(batch_norm),
    "instance_norm": Rule(batch_norm),
    "prelu": Rule(prelu),
    "group_norm": Rule(group_norm, adjust_group_norm, masked_norm),
    **dict.fromkeys(("layer_norm", "rms_norm"), Rule(layer_norm, adjust_layer_norm, masked_norm)),
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "cumsum"), Rule(softmax)),
    **dict.fromkeys((*(f"{name}{rank}d" for name in _SPATIAL for rank in (1, 2, 3)), *_RESIZES), Rule(pool)),
    **dict.fromkeys(_REDUCTIONS, Rule(reduce)),
    "sum": Rule(add_up),
    "mean": Rule(add_up, adjust_mean),
}
