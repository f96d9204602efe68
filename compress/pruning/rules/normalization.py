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
    """The channels of a group share their statistics: a group goes whole."""
    vector = call.along("input", 1)
    groups = vector.reshape(call.values["num_groups"], -1)
    call.classes.tie(groups, groups[:, :1])
    return _per_channel(call, ("weight", "bias"))


def adjust_group_norm(cut: Any, node: fx.Node) -> None:
    """As many groups as are left."""
    before, after = cut.sizes(node.args[0], 1)
    arguments: Any = node.args
    node.update_arg(1, arguments[1] * after // before)


def layer_norm(call: Call) -> Labels:
    """What is normalized over stays."""
    axes = range(-len(call.values["normalized_shape"]), 0)
    return _keep_over(call, "input", axes, "layer_norm takes its statistics over them")


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
    """A sum over channels: a removed one adds nothing."""
    labels = call.labels("self")
    axis = next((axis for axis in _reduced(call) if call.classes.varies(labels, axis)), None)
    if axis is None:
        return reduce(call)
    call.classes.along(labels, axis)
    return pinned(call.result.shape)


def _reduced(call: Call) -> tuple[int, ...]:
    given, rank = call.values.get("dim"), call.values["self"].ndim
    if given is None or given == []:
        return tuple(range(rank))
    return tuple(axis % rank for axis in (given if isinstance(given, tuple | list) else (given,)))


def _per_channel(call: Call, weights: tuple[str, ...]) -> Labels:
    name = next(iter(call.operands))
    vector = call.along(name, 1)
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
_REDUCTIONS = ("mean", "amax", "amin", "prod", "var", "std", "logsumexp", "argmax", "argmin", "norm", "linalg_vector_norm")

RULES = {
    "batch_norm": Rule(batch_norm),
    "instance_norm": Rule(batch_norm),
    "prelu": Rule(prelu),
    "group_norm": Rule(group_norm, adjust_group_norm),
    "layer_norm": Rule(layer_norm),
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "cumsum"), Rule(softmax)),
    **dict.fromkeys((*(f"{name}{rank}d" for name in _SPATIAL for rank in (1, 2, 3)), *_RESIZES), Rule(pool)),
    **dict.fromkeys(_REDUCTIONS, Rule(reduce)),
    "sum": Rule(add_up),
}
