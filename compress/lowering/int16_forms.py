"""What TFLite computes in place of operators that its converter, or LiteRT, takes with activations of 8 bits only.

Each form works on a node that reads a dequantize node of int16. What lies between its steps is rounded to int16 too, with scales that
follow from the operator, so that nothing has to be observed. GELU and concatenation have int16 kernels in LiteRT 2.3 and are carried
through the converter; the others are made of operators that have.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from compress.lowering.constants import is_stored
from compress.lowering.nodes import add_constant, argument, constant, operator_name, rank
from compress.lowering.own_operators import overload
from compress.lowering.rewriting import call

aten = torch.ops.aten
quantized_decomposed = torch.ops.quantized_decomposed
LARGEST = 2**15 - 1
PROBABILITY = 2.0**-15
"""The scale that softmax has in TFLite."""
LOGARITHM = 10.4
"""The logarithm of the smallest probability that int16 holds, without its sign."""
Node = Any
"""An `fx.Node` of a known operator, whose arguments are what its schema says."""

Form = Callable[[fx.GraphModule, Node], fx.Node | None]
"""Gives the node that stands for a node, having added to the graph what that needs; None leaves the node alone."""


def reads_int16(node: fx.Node) -> bool:
    """Whether an operator has activations of 16 bits."""
    return any(torch.int16 in value.args for value in node.all_input_nodes)


def add(graph: fx.GraphModule, node: Node) -> fx.Node | None:
    """The converter writes no ADD of int16 tensors of two shapes, but the SUB of a constant's negative: they are symmetric."""
    for value, other in (node.args, node.args[::-1]):
        if isinstance(other, fx.Node) and is_stored(other):
            integers, *parameters = other.args
            return call(node, aten.sub.Tensor, value, call(other, other.target, _negative(graph, node, integers), *parameters))
    alike = all(value.meta["val"].shape == node.meta["val"].shape for value in node.all_input_nodes)
    rounded = all(operator_name(user) == "quantize_per_tensor" for user in node.users)
    if alike and rounded and any(map(_is_transposed, node.all_input_nodes)):
        return call(node, overload("total"), *node.args[:2], False)
    return None


def _is_transposed(value: Node) -> bool:
    """Whether a dequantized value is another's with its axes in another order."""
    quantized = value.args[0]
    return operator_name(quantized) == "quantize_per_tensor" and operator_name(quantized.args[0]) in {"transpose", "permute"}


def gelu(graph: fx.GraphModule, node: Node) -> fx.Node:  # noqa: ARG001  one signature for all
    """LiteRT's kernel, a table of 513 numbers."""
    return call(node, overload("gelu"), node.args[0], argument(node, "approximate"), False)


def concatenation(graph: fx.GraphModule, node: Node) -> fx.Node:  # noqa: ARG001  one signature for all
    """LiteRT's kernel, which copies numbers of any kind."""
    return call(node, overload("join"), node.args[0], int(str(argument(node, "dim"))) % rank(node), False)


def padding(graph: fx.GraphModule, node: Node) -> fx.Node | None:  # noqa: ARG001  one signature for all
    """LiteRT's kernel, where it isn't zeros."""
    source, amounts = node.args[:2]
    value = argument(node, "value")
    return call(node, overload("pad_with"), source, amounts, value, False) if value else None


def max_pool(graph: fx.GraphModule, node: Node) -> fx.Node | None:  # noqa: ARG001  one signature for all
    """Padded with the least int16, then pooled."""
    source, kernel = node.args[:2]
    vertical, horizontal = numbers(node, "padding")
    if not vertical and not horizontal:
        return None
    lowest = -(LARGEST + 1) * _scale(source)
    padded = call(source, overload("pad_with"), source, [horizontal, horizontal, vertical, vertical], lowest, False)
    windows = (kernel, argument(node, "stride"), 0, numbers(node, "dilation"))
    return call(node, aten.max_pool2d.default, _rounded(padded, _scale(source)), *windows)


def numbers(node: Node, name: str) -> list[int]:
    """An argument that is one number for both axes of an image, or one for each."""
    found: Any = argument(node, name)
    both = list(found) if isinstance(found, list | tuple) else [found]
    return both * 2 if len(both) == 1 else both


def hardswish(graph: fx.GraphModule, node: Node) -> fx.Node:
    """x / 6 times relu6(x + 3): the largest int16 stands for 6, so that rounding cuts off what is above."""
    source = node.args[0]
    shifted = call(node, aten.sub.Tensor, source, _number(graph, node, -3.0))
    bounded = _rounded(call(node, aten.relu.default, shifted), 6 / LARGEST)
    sixth = _rounded(call(node, aten.mul.Tensor, source, _number(graph, node, 1 / 6)), _scale(source) / 6)
    return call(node, aten.mul.Tensor, sixth, bounded)


def prelu(graph: fx.GraphModule, node: Node) -> fx.Node:
    """LEAKY_RELU where there is one slope; else what relu leaves of x, less slopes times what it leaves of -x: one of the two is 0."""
    source, slopes = node.args
    stored, scale = constant(graph, slopes.args[0]), slopes.args[1]
    if stored.numel() == 1:
        return call(node, aten.leaky_relu.default, source, float(stored * scale))
    by_channel = stored.reshape(1, -1, *([1] * (rank(node) - 2)))
    factors = call(slopes, slopes.target, add_constant(graph, f"{node.name}_slopes", by_channel), *slopes.args[1:])
    factors.meta["val"] = by_channel.float().to("meta")
    negative = call(node, aten.mul.Tensor, source, _number(graph, node, -1.0))
    below = _rounded(call(node, aten.relu.default, negative), _scale(source))
    above = _rounded(call(node, aten.add.Tensor, source, below), _scale(source))
    wanted = min((user.args[1] for user in node.users if operator_name(user) == "quantize_per_tensor"), default=_scale(source))
    return call(node, aten.sub.Tensor, above, _rounded(call(node, aten.mul.Tensor, below, factors), wanted))


def log_softmax(graph: fx.GraphModule, node: Node) -> fx.Node:  # noqa: ARG001  one signature for all
    """x - (max(x) - the logarithm of the largest probability): of all of them LiteRT's table of logarithms serves that one best."""
    source, axis = node.args[0], node.args[1]
    softmax = _rounded(call(node, aten.softmax.int, source, axis), PROBABILITY)
    likeliest = _largest(node, softmax, axis, PROBABILITY)
    logarithm = call(likeliest, overload("logarithm"), likeliest, False)
    # of the same numbers the converter would take a second maximum for the one in softmax, and then not know softmax
    other = _rounded(call(node, overload("requantize"), source, False), _scale(source))
    exponent = call(likeliest, aten.sub.Tensor, _largest(node, other, axis, _scale(source)), _rounded(logarithm, LOGARITHM / LARGEST))
    return call(node, aten.sub.Tensor, source, _rounded(exponent, _scale(source) + LOGARITHM / LARGEST))


def _largest(node: Node, source: Node, axis: int, scale: float) -> fx.Node:
    made = call(node, aten.amax.default, source, [axis], True)
    made.meta["val"] = source.meta["val"].amax(axis, keepdim=True)
    return _rounded(made, scale)


def _negative(graph: fx.GraphModule, node: Node, stored: Node) -> fx.Node:
    return add_constant(graph, f"{stored.target}_{node.name}", -constant(graph, stored))


def _scale(source: Node) -> float:
    return float(source.args[1])


def _rounded(value: fx.Node, scale: float) -> fx.Node:
    """The value as int16 of this scale."""
    arguments = (scale, 0, -LARGEST - 1, LARGEST, torch.int16)
    integers = call(value, quantized_decomposed.quantize_per_tensor.default, value, *arguments)
    return call(value, quantized_decomposed.dequantize_per_tensor.default, integers, *arguments)


def _number(graph: fx.GraphModule, node: Node, value: float) -> fx.Node:
    """A number as an int16 constant with as many axes as the node's tensor."""
    integer = torch.full([1] * rank(node), LARGEST if value > 0 else -LARGEST, dtype=torch.int16)
    stored = add_constant(graph, f"{node.name}_number_{len(graph.graph.nodes)}", integer)
    arguments = (abs(value) / LARGEST, 0, -LARGEST - 1, LARGEST, torch.int16)
    made = call(node, quantized_decomposed.dequantize_per_tensor.default, stored, *arguments)
    made.meta["val"] = integer.float().to("meta")
    return made


FORMS: dict[str, Form] = {
    "add": add,
    "gelu": gelu,
    "cat": concatenation,
    "pad": padding,
    "max_pool2d": max_pool,
    "hardswish": hardswish,
    "prelu": prelu,
    "log_softmax": log_softmax,
}
"""By the operator that they stand for."""
