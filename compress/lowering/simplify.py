"""Rewrites that leave a network's function as it is and make it easier to quantize and to export."""

import math
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import argument, is_constant, operator_name, rank
from compress.lowering.rewriting import Rewrite, call, number, rewrite

aten = torch.ops.aten


def simplify(graph: fx.GraphModule) -> None:
    """Rewrites every node that has a row in REWRITES, in place."""
    rewrite(graph, REWRITES)


def _identity(graph: fx.GraphModule, node: fx.Node) -> Any:  # noqa: ARG001  one signature for all
    return node.args[0]


def _whole(node: Any) -> bool:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return isinstance(value, torch.Tensor) and not value.is_floating_point()


def _arithmetic(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """x + 2 has a constant tensor for its number; a division by one is a multiplication. Whole numbers (places in a table, say) stay."""
    operand = node.args[1]
    if not isinstance(operand, int | float) or len(node.args) > 2 or node.kwargs or _whole(node.args[0]):
        return None
    name = operator_name(node)
    if name == "rsub":
        return call(node, aten.sub.Tensor, number(graph, node, float(operand)), node.args[0])
    if name == "div":
        return call(node, aten.mul.Tensor, node.args[0], number(graph, node, 1 / operand))
    return call(node, getattr(aten, name).Tensor, node.args[0], number(graph, node, float(operand)))


def _pooling(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:  # noqa: ARG001  one signature for all
    """A mean over an image keeps its axes until it is flattened, so that a converter can leave channels last."""
    axes = argument(node, "dim")
    image = isinstance(node.args[0], fx.Node) and rank(node.args[0]) == 4
    if not image or not isinstance(axes, list | tuple) or {axis % 4 for axis in axes} != {2, 3} or argument(node, "keepdim"):
        return None
    pooled = call(node, aten.mean.dim if operator_name(node) == "mean" else aten.sum.dim_IntList, node.args[0], [2, 3], True)
    pooled.meta["val"] = node.meta["val"][..., None, None]
    return call(node, aten.flatten.using_ints, pooled, 1)


def _average(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:  # noqa: ARG001  one signature for all
    """Pooling over a whole image is a mean: a pool's integers share its input's scale, too coarse for an average of so many."""
    kernel, padding = argument(node, "kernel_size"), argument(node, "padding")
    size = list(node.args[0].meta["val"].shape[-2:]) if isinstance(node.args[0], fx.Node) else []
    whole = list(node.meta["val"].shape[-2:]) == [1, 1] and (kernel is None or kernel == size)
    if rank(node) != 4 or not whole or size == [1, 1] or (isinstance(padding, list) and any(padding)):
        return None
    return None if argument(node, "divisor_override") else call(node, aten.mean.dim, node.args[0], [2, 3], True)


def _clamp(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:  # noqa: ARG001  one signature for all
    low, high = argument(node, "min"), argument(node, "max")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return call(node, aten.hardtanh.default, node.args[0], float(low), float(high))
    return call(node, aten.relu.default, node.args[0]) if low == 0 and high is None else None


def _reshape(graph: fx.GraphModule, node: fx.Node) -> fx.Node:  # noqa: ARG001  one signature for all
    """A view needs memory in order, which the copies left out here had seen to; a reshape doesn't."""
    return call(node, aten.reshape.default, *node.args)


def _linear(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:  # noqa: ARG001  one signature for all
    """A product over the last of four or more axes goes over three where the axis before it is one long, and over two where all between
    are: the converter mixes up ranks."""
    source, *constants = node.args
    shape = list(node.meta["val"].shape)
    if rank(node) < 4 or shape[-2] != 1 or not isinstance(source, fx.Node):
        return None
    last = -1 if math.prod(shape[1:-1]) == 1 else -2
    rows = call(node, aten.flatten.using_ints, source, 1, last)
    rows.meta["val"] = source.meta["val"].flatten(1, last)
    product = call(node, aten.linear.default, rows, *constants)
    product.meta["val"] = node.meta["val"].flatten(1, last)
    return call(node, aten.reshape.default, product, [-1, *shape[1:]])


def _product(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """A vector scales the rows of a product that goes over fewer axes: fused over the reshape behind it, the converter mixes up ranks."""
    shaped, scale = node.args[:2]
    if not isinstance(shaped, fx.Node) or not isinstance(scale, fx.Node) or len(shaped.users) > 1:
        return _arithmetic(graph, node)
    if not is_constant(scale) or rank(scale) != 1:
        return _arithmetic(graph, node)
    product = shaped.args[0]
    if operator_name(shaped) != "reshape" or not isinstance(product, fx.Node) or operator_name(product) != "linear":
        return None
    if product.meta["val"].shape[-1] != shaped.meta["val"].shape[-1]:
        return None
    scaled = call(node, node.target, product, scale)
    scaled.meta["val"] = product.meta["val"]
    return call(node, shaped.target, scaled, shaped.args[1])


def _silu(graph: fx.GraphModule, node: fx.Node) -> fx.Node:  # noqa: ARG001  one signature for all
    """SiLU is x times its sigmoid."""
    return call(node, aten.mul.Tensor, node.args[0], call(node, aten.sigmoid.default, node.args[0]))


def _hardsigmoid(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Hard sigmoid is relu6(x + 3) / 6."""
    shifted = call(node, aten.add.Tensor, node.args[0], number(graph, node, 3.0))
    return call(node, aten.mul.Tensor, call(node, aten.relu6.default, shifted), number(graph, node, 1 / 6))


REWRITES: dict[str, Rewrite] = {
    **dict.fromkeys(("dropout", "feature_dropout", "clone", "contiguous", "alias", "detach", "detach_", "lift_fresh_copy"), _identity),
    **dict.fromkeys(("add", "sub", "div", "rsub"), _arithmetic),
    "mul": _product,
    **dict.fromkeys(("mean", "sum"), _pooling),
    **dict.fromkeys(("avg_pool2d", "adaptive_avg_pool2d"), _average),
    **dict.fromkeys(("clamp", "clamp_min"), _clamp),
    **dict.fromkeys(("view", "_unsafe_view"), _reshape),
    "linear": _linear,
    "silu": _silu,
    "hardsigmoid": _hardsigmoid,
}
