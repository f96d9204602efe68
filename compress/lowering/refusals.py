"""From a converter's complaint to the layer that it is about."""

import operator
import re
from collections.abc import Callable

import torch
from torch import fx

from compress.lowering.nodes import operator_name
from compress.lowering.quiet import quiet
from compress.model import layer_name
from targets.errors import ExportError

OPERATOR = re.compile(r"(?:aten|prims|op='aten|op='prims)\.(\w+)")
CONVERTER_ERRORS = (RuntimeError, ValueError, TypeError, NotImplementedError, AssertionError, KeyError)
"""What converters raise for an operator that they can't write."""

Convert = Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], object]


def refused(graph: fx.GraphModule, file_format: str, error: Exception, cure: str, convert: Convert) -> ExportError:
    """The error for the user: which layer and operator the format can't hold.

    The converter's message tells, or else its operators are converted one by one with `convert`.
    """
    node = _named(graph, str(error)) or _culprit(graph, convert)
    if node is not None:
        return ExportError(f"layer '{layer_name(node)}': {file_format} has no operator for '{operator_name(node)}'; {cure}")
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ExportError(f"the network can't be written as {file_format}: {reason}; {cure}")


def _named(graph: fx.GraphModule, message: str) -> fx.Node | None:
    names = OPERATOR.findall(message)
    return next((node for name in names for node in graph.graph.nodes if _same(operator_name(node), name)), None)


def _same(one: str, other: str) -> bool:
    return bool(one) and one.strip("_") in (other.strip("_"), other.strip("_").removesuffix("_backward"))


def _culprit(graph: fx.GraphModule, convert: Convert) -> fx.Node | None:
    """The first operator that can't be converted by itself; each is tried once, on zeros of its own shapes."""
    tried = set()
    for node in graph.graph.nodes:
        values = [operand.meta.get("val") for operand in node.all_input_nodes]
        if node.op != "call_function" or node.target in tried or node.target is operator.getitem or operator_name(node) == "sym_size":
            continue
        if not values or not all(isinstance(value, torch.Tensor) for value in values):
            continue
        tried.add(node.target)
        try:
            with quiet():
                convert(_alone(node), tuple(torch.zeros(value.shape, dtype=value.dtype) for value in values))
        except CONVERTER_ERRORS:
            found: fx.Node = node
            return found
    return None


def _alone(node: fx.Node) -> fx.GraphModule:
    """A graph of one operator."""
    graph = fx.Graph()
    placeholders = {operand: graph.placeholder(f"x{number}") for number, operand in enumerate(node.all_input_nodes)}
    graph.output(graph.node_copy(node, lambda operand: placeholders[operand]))
    return fx.GraphModule(torch.nn.Module(), graph)
