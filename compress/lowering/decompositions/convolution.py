"""Transposed convolutions as TFLite has them, and layers of one axis as those of images with one row."""

from typing import Any

import torch
from torch import fx

from compress.lowering.decompositions.pooling import pair
from compress.lowering.nodes import argument, constant, is_constant, operator_name, set_constant
from compress.lowering.rewriting import call

aten = torch.ops.aten
ROW = 2
"""The axis of an image's only row."""
OF_ROW = {"kernel_size": 1, "stride": 1, "dilation": 1, "output_size": 1, "padding": 0, "output_padding": 0}
POOL = ("kernel_size", "stride", "padding")
OF_IMAGES: dict[str, tuple[Any, bool, tuple[str, ...]]] = {
    "conv1d": (aten.conv2d.default, True, ("bias", "stride", "padding", "dilation", "groups")),
    "conv_transpose1d": (aten.conv_transpose2d.input, True, ("bias", "stride", "padding", "output_padding", "groups", "dilation")),
    "max_pool1d": (aten.max_pool2d.default, False, (*POOL, "dilation", "ceil_mode")),
    "avg_pool1d": (aten.avg_pool2d.default, False, (*POOL, "ceil_mode", "count_include_pad")),
    "adaptive_avg_pool1d": (aten.adaptive_avg_pool2d.default, False, ("output_size",)),
}
"""Layers of one axis: the operator for images, whether it has weights, and its arguments after those."""
FOLLOWING = (
    "relu",
    "relu6",
    "hardtanh",
    "leaky_relu",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "tanh",
    "silu",
    "gelu",
    "dropout",
    "batch_norm",
)
"""Operators that do the same to an image, number by number or channel by channel."""


def transposed(graph: fx.GraphModule, node: Any) -> fx.Node | None:
    """No groups, dilation or output padding: zeros among the weights are the same. Padding that TFLite hasn't is cut off afterwards."""
    if not is_constant(node.args[1]):
        return None
    stride, padding, extra, dilation = (pair(argument(node, name)) for name in ("stride", "padding", "output_padding", "dilation"))
    groups = argument(node, "groups")
    weight = _whole_kernel(constant(graph, node.args[1]), int(str(groups)), extra, dilation)
    kernel = weight.shape[-2:]
    same = all(0 < size - 2 * cut <= step for size, cut, step in zip(kernel, padding, stride, strict=True))
    cut = [0, 0] if same else padding
    if groups == 1 and not any(extra) and dilation == [1, 1] and not any(cut):
        return None
    set_constant(graph, str(node.args[1].target), weight)
    kept = padding if same else [0, 0]
    made = call(node, aten.conv_transpose2d.input, node.args[0], node.args[1], argument(node, "bias"), stride, kept)
    return call(node, aten.pad.default, made, [-cut[1], -cut[1], -cut[0], -cut[0]]) if any(cut) else made


def _whole_kernel(weight: torch.Tensor, groups: int, extra: list[int], dilation: list[int]) -> torch.Tensor:
    """Weights [inputs, outputs, height, width] with zeros for what another group reads, between dilated ones and where output is padded."""
    inputs, outputs, height, width = weight.shape
    made = weight.new_zeros(inputs, groups * outputs, (height - 1) * dilation[0] + 1 + extra[0], (width - 1) * dilation[1] + 1 + extra[1])
    for group in range(groups):
        rows = slice(group * inputs // groups, (group + 1) * inputs // groups)
        target = made[rows, group * outputs : (group + 1) * outputs]
        target[:, :, : (height - 1) * dilation[0] + 1 : dilation[0], : (width - 1) * dilation[1] + 1 : dilation[1]] = weight[rows]
    return made


def one_axis(graph: fx.GraphModule, node: Any) -> fx.Node | None:
    """A convolution or pool of one axis is that of an image with one row."""
    operator, weighted, names = OF_IMAGES[operator_name(node)]
    operands = [as_image(node.args[0])]
    if weighted:
        if not is_constant(node.args[1]) or isinstance(argument(node, "padding"), str):
            return None
        weight = constant(graph, node.args[1])
        set_constant(graph, str(node.args[1].target), weight.unsqueeze(ROW) if weight.dim() == 3 else weight)
        operands.append(node.args[1])
    return as_sequence(node, call(node, operator, *operands, *(_with_row(node, name) for name in names)))


def _with_row(node: fx.Node, name: str) -> Any:
    """An argument for height and width, where it has numbers for axes: those of the row leave it alone."""
    given: Any = argument(node, name)
    if name not in OF_ROW:
        return given
    if name == "stride" and not given:  # pools move by their own size
        given = argument(node, "kernel_size")
    return [OF_ROW[name], *(given if isinstance(given, list | tuple) else [given])]


def follow(graph: fx.GraphModule, node: Any) -> fx.Node | None:  # noqa: ARG001  one signature for all
    """What comes after such a layer stays an image of one row as long as it can."""
    operands = [value for value in node.all_input_nodes if not is_constant(value)]
    if not operands or not all(map(is_row, operands)):
        return None
    if operator_name(node) in ("add", "sub", "mul") and any(is_constant(value) for value in node.all_input_nodes):
        return None
    images = {value: value.args[0] for value in operands}
    if operator_name(node) in ("mean", "sum"):
        over_steps = argument(node, "dim") in ([2], [-1]) and not argument(node, "keepdim")
        return call(node, node.target, node.args[0].args[0], [ROW, ROW + 1]) if over_steps else None
    made = call(node, node.target, *fx.map_arg(node.args, lambda value: images.get(value, value)))
    made.kwargs = dict(node.kwargs)
    return as_sequence(node, made)


def as_image(value: fx.Node) -> Any:
    """A sequence [batch, channels, length] as an image of one row."""
    return value.args[0] if is_row(value) else call(value, aten.unsqueeze.default, value, ROW)


def as_sequence(node: fx.Node, image: fx.Node) -> fx.Node:
    """Such an image as a sequence again, with the shape of `node`."""
    value = node.meta["val"]
    image.meta["val"] = value.unsqueeze(ROW)
    made = call(node, aten.squeeze.dim, image, ROW)
    made.meta["val"] = value
    return made


def is_row(node: fx.Node) -> bool:
    """Whether a node's value is an image of one row without its axis."""
    return operator_name(node) == "squeeze" and node.args[1:] == (ROW,) and node.args[0].meta["val"].dim() == 4  # type: ignore[union-attr]
