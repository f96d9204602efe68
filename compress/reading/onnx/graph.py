"""A file's graph without protobuf: its constants, and its calls in order."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from compress.reading.onnx.operators import OPERATORS
from compress.reading.onnx.values import Call, Sizes
from targets.errors import UserError

CONTROL = ("Scan", "If")
"""Operators with graphs of their own."""


@dataclass(frozen=True)
class Step:
    """A call, the names of what it reads ("" where an optional input is left out) and of what it makes."""

    call: Call
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """One graph of a file: the main one, or the body of a loop, whose calls may also read what is around it."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, Sizes]
    steps: tuple[Step, ...]


def read(graph: Any, opset: int) -> Graph:
    """The graph of a `GraphProto`. UserError for an operator that isn't known, naming all such operators."""
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    steps = []
    for node in graph.node:
        attributes = {attribute.name: _attribute(attribute, opset) for attribute in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(attributes)
            continue
        if node.domain not in ("", "ai.onnx"):
            raise UserError(f"operator '{node.name}': {node.domain}.{node.op_type} is no operator of ONNX's standard; export it without")
        call = Call(node.name or node.output[0], node.op_type, attributes, opset, len(node.output))
        steps.append(Step(call, tuple(node.input), tuple(node.output)))
    unknown = sorted({step.call.operator for step in steps} - set(OPERATORS) - set(CONTROL))
    if unknown:
        raise UserError(f"operators that can't be read yet: {', '.join(unknown)}; export the network without them, or from torch as .pt2")
    inputs = tuple(value.name for value in graph.input if value.name not in constants)
    return Graph(inputs, tuple(value.name for value in graph.output), constants, tuple(steps))


def _attribute(attribute: Any, opset: int) -> Any:
    from onnx import AttributeProto, helper, numpy_helper

    if attribute.type == AttributeProto.TENSOR:
        return numpy_helper.to_array(attribute.t)
    if attribute.type == AttributeProto.GRAPH:
        return read(attribute.g, opset)
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return list(value)
    return [each.decode() for each in value] if attribute.type == AttributeProto.STRINGS else value


def _constant(attributes: dict[str, Any]) -> Sizes:
    (name, value), *_ = attributes.items()
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    return value if name == "value" else np.asarray(value, kinds[name])
