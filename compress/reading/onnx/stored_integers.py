"""Weights that a file stores as integers while it computes with real numbers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import torch

from compress.reading.faults import UNFIT
from compress.reading.onnx.graph import Graph
from compress.reading.onnx.operators.quantized import dequantize
from compress.reading.onnx.values import Step


def made_real(graph: Graph) -> Graph:
    """The graph with such weights as real constants under their own names, so that they train like others.

    One that computes with integers stays as it is, scales and all, and so does one with loops or branches.
    """
    if any(_computes_with_integers(step, graph) or _has_graphs(step) for step in graph.steps):
        return graph
    readers = Counter(name for step in graph.steps for name in step.inputs)
    constants, renamed = dict(graph.constants), dict[str, str]()
    for step, values in _stored(graph):
        name = step.inputs[0] if readers[step.inputs[0]] == 1 else step.outputs[0]
        constants[name], renamed[step.outputs[0]] = values.numpy(), name
    steps = [step for step in graph.steps if step.outputs[0] not in renamed]
    read = (replace(step, inputs=tuple(renamed.get(name, name) for name in step.inputs)) for step in steps)
    return replace(graph, constants=constants, steps=tuple(read))


def _computes_with_integers(step: Step, graph: Graph) -> bool:
    return step.call.operator == "QuantizeLinear" and step.inputs[0] not in graph.constants


def _has_graphs(step: Step) -> bool:
    return any(isinstance(value, Graph) for value in step.call.attributes.values())


def _stored(graph: Graph) -> Iterator[tuple[Step, torch.Tensor]]:
    """The steps that make constants real, but outputs of the network, and what they make."""
    for step in graph.steps:
        if step.call.operator == "DequantizeLinear" and {*step.inputs} <= {*graph.constants} and step.outputs[0] not in graph.outputs:
            try:
                yield step, dequantize(step.call, *(graph.constants[name] for name in step.inputs))
            except UNFIT:  # a damaged file; running it says what is wrong
                continue
