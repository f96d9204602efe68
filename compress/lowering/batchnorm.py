"""BatchNorm of inference mode, folded into the layer before it (Jacob et al. 2018, section 3.2) or made a layer of its own."""

import torch
from torch import fx

from compress.lowering.nodes import add_constant, argument, constant, is_constant, operator_name, rank, set_constant
from compress.model import layer_name

TRANSPOSED = {"conv_transpose1d": 1, "conv_transpose2d": 1, "conv_transpose3d": 1}
CHANNEL_AXIS = {"conv1d": 0, "conv2d": 0, "conv3d": 0, "linear": 0, **TRANSPOSED}
"""Layers that a BatchNorm folds into, with the axis of their weights that counts output channels."""


def fold(graph: fx.GraphModule) -> list[str]:
    """Folds every BatchNorm of the graph, in place, and gives the names of their nodes.

    A BatchNorm whose input comes from a layer that nobody else reads changes that layer's weights. Any other one becomes
    a 1x1 convolution of each channel by itself (images) or a multiplication and an addition. The network's function stays the
    same up to float32 rounding.
    """
    nodes = [node for node in graph.graph.nodes if operator_name(node) == "batch_norm"]
    for node in nodes:
        fold_one(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return [node.name for node in nodes]


def fold_one(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Folds one BatchNorm, and gives the node that makes its output now: the layer before it, or a new one."""
    layer = node.args[0]
    scale, shift = _scale_and_shift(graph, node)
    if isinstance(layer, fx.Node) and obstacle(layer, node) is None:
        _fold_into(graph, layer, scale, shift)
        replacement = layer
    else:
        with graph.graph.inserting_before(node):
            replacement = _stand_alone(graph, node, scale, shift)
        replacement.meta = dict(node.meta)
    node.replace_all_uses_with(replacement)
    graph.graph.erase_node(node)
    return replacement


def obstacle(layer: fx.Node, norm: fx.Node) -> str | None:
    """Why a BatchNorm can't be folded into the node before it; None where it can."""
    name = operator_name(layer)
    if name not in CHANNEL_AXIS:
        return f"{name or layer.name} comes before it"
    if name == "linear" and rank(layer) != 2:
        return f"its channels aren't those of {layer_name(layer)}"
    if name in TRANSPOSED and argument(layer, "groups") != 1:
        return f"{layer_name(layer)} is transposed and grouped"
    if list(layer.users) != [norm]:
        return f"others read what {layer_name(layer)} gives, too"
    constants = [value for value in (layer.args[1], argument(layer, "bias")) if value is not None]
    alone = all(is_constant(value) and _readers(norm.graph, value) == [layer] for value in constants)
    return None if alone else f"{layer_name(layer)} shares its weights, or they are calculated"


def pairs(graph: fx.GraphModule) -> list[tuple[fx.Node, fx.Node]]:
    """The layers that `fold` gives one BatchNorm each, and these. A layer followed by several isn't among them."""
    norms = [node for node in graph.graph.nodes if operator_name(node) == "batch_norm"]
    single = [node for node in norms if not any(user in norms for user in node.users)]
    return [(node.args[0], node) for node in single if obstacle(node.args[0], node) is None]


def scale_and_shift(
    mean: torch.Tensor, variance: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a BatchNorm multiplies each channel by and then adds, float64 [channels]."""
    scale = torch.rsqrt(variance.double() + epsilon)
    if weight is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    return scale, shift if bias is None else shift + bias.double()


def folded(
    weight: torch.Tensor, bias: torch.Tensor | None, axis: int, scale: torch.Tensor, shift: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's weight and bias, float32, such that it does what a BatchNorm did after it. `axis` counts the weight's output channels."""
    by_channel = [1] * weight.dim()
    by_channel[axis] = -1
    if bias is not None:
        shift = shift + bias.double() * scale
    return (weight.double() * scale.reshape(by_channel)).float(), shift.float()


def _scale_and_shift(graph: fx.GraphModule, node: fx.Node) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = (constant(graph, argument(node, name)) for name in ("running_mean", "running_var"))
    weight, bias = (None if value is None else constant(graph, value) for value in (argument(node, "weight"), argument(node, "bias")))
    epsilon = argument(node, "eps")
    return scale_and_shift(mean, variance, weight, bias, epsilon if isinstance(epsilon, float) else 0.0)


def _readers(graph: fx.Graph, value: object) -> list[fx.Node]:
    """Who reads a constant: one that several layers share can't take the BatchNorm of one of them."""
    target = getattr(value, "target", None)
    return [user for node in graph.nodes if node.op == "get_attr" and node.target == target for user in node.users]


def _fold_into(graph: fx.GraphModule, layer: fx.Node, scale: torch.Tensor, shift: torch.Tensor) -> None:
    weight_node, bias_node = layer.args[1], argument(layer, "bias")
    given = None if bias_node is None else constant(graph, bias_node)
    weight, shift = folded(constant(graph, weight_node), given, CHANNEL_AXIS[operator_name(layer)], scale, shift)
    name = str(getattr(weight_node, "target", ""))
    set_constant(graph, name, weight)
    bias_name = str(bias_node.target) if isinstance(bias_node, fx.Node) else f"{name.rpartition('.')[0] or layer.name}.bias"
    with graph.graph.inserting_before(layer):
        bias = add_constant(graph, bias_name, shift)
    layer.args = (layer.args[0], weight_node, bias, *layer.args[3:])
    layer.kwargs = {key: value for key, value in layer.kwargs.items() if key not in ("weight", "bias")}


def _stand_alone(graph: fx.GraphModule, node: fx.Node, scale: torch.Tensor, shift: torch.Tensor) -> fx.Node:
    channels = len(scale)
    name = str(argument(node, "running_mean")).replace("_running_mean", "") or node.name
    if rank(node) == 4:
        weight = add_constant(graph, f"{name}_folded.weight", scale.float().reshape(channels, 1, 1, 1))
        bias = add_constant(graph, f"{name}_folded.bias", shift.float())
        arguments = (node.args[0], weight, bias, [1, 1], [0, 0], [1, 1], channels)
        return graph.graph.call_function(torch.ops.aten.conv2d.default, arguments)
    by_channel = (1, channels, *([1] * (rank(node) - 2)))
    factor = add_constant(graph, f"{name}_folded.scale", scale.float().reshape(by_channel))
    term = add_constant(graph, f"{name}_folded.shift", shift.float().reshape(by_channel))
    scaled = graph.graph.call_function(torch.ops.aten.mul.Tensor, (node.args[0], factor))
    scaled.meta = dict(node.meta)
    return graph.graph.call_function(torch.ops.aten.add.Tensor, (scaled, term))
