"""Quantize/dequantize pairs between the operators that one of a file's becomes in torch, so that each of them has its integers."""

import torch
from torch import fx

from compress.lowering.nodes import is_constant, is_float, operator_name
from compress.model import layer_name
from compress.quantization.operators import rule
from compress.reading.tflite.values import UnliftedError

decomposed = torch.ops.quantized_decomposed
QUANTIZE, DEQUANTIZE = "quantize_per_tensor", "dequantize_per_tensor"
CLAMPS = {"relu", "relu6", "hardtanh"}


def complete(graph: fx.GraphModule) -> None:
    """Puts pairs, in place, around operators that only pass numbers on: at their input's scale, or at that of what reads them.

    Shapes must be known. UnliftedError naming a file's operator that is several in torch with real numbers between them.
    """
    for node in list(graph.graph.nodes):
        source = node.args[0] if _passes_on(node) else None
        if not isinstance(source, fx.Node) or operator_name(source) != DEQUANTIZE:
            continue
        if any(operator_name(user) != QUANTIZE for user in node.users):
            _round(node, source)
    for node in reversed(list(graph.graph.nodes)):
        made = node.args[0] if operator_name(node) == QUANTIZE else None
        value = made.args[0] if isinstance(made, fx.Node) and _passes_on(made) else None
        if isinstance(value, fx.Node) and _computed(value):
            _round(value, node, made)
    graph.graph.lint()
    graph.recompile()
    for node in graph.graph.nodes:
        if operator_name(node) == QUANTIZE:
            _check(node.args[0])


def _passes_on(node: fx.Node) -> bool:
    found = rule(node)
    return found is not None and found.family == "shared" and bool(node.args) and isinstance(node.args[0], fx.Node)


def _computed(value: object) -> bool:
    """Whether a value is real numbers that have not just come from integers, or from outside."""
    if not isinstance(value, fx.Node) or value.op != "call_function" or is_constant(value):
        return False
    return is_float(value) and not operator_name(value).startswith("dequantize_per")


def _round(value: fx.Node, like: fx.Node, reader: object = None) -> None:
    """A pair of the same scale as `like`'s behind a value, for one reader or all; each reader has a dequantize node of its own."""
    readers = [user for user in value.users if reader in (None, user)]
    with value.graph.inserting_after(value):
        integers = value.graph.call_function(decomposed.quantize_per_tensor.default, (value, *like.args[1:]))
    for each in readers:
        with value.graph.inserting_before(each):
            real = value.graph.call_function(decomposed.dequantize_per_tensor.default, (integers, *like.args[1:]))
        real.meta = dict(value.meta)
        each.replace_input_with(value, real)


def _check(made: object) -> None:
    while isinstance(made, fx.Node) and operator_name(made) in CLAMPS and isinstance(made.args[0], fx.Node):
        made = made.args[0]
    if isinstance(made, fx.Node):
        name = layer_name(made)
        if any(_computed(value) and layer_name(value) == name for value in made.all_input_nodes):
            raise UnliftedError(f"operator '{name}': torch has no integer form of it")
