"""A file's graph without protobuf: its constants, and its calls in order."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from compress.reading.onnx.integer_operators import SPELLED_OUT, spell_out
from compress.reading.onnx.operators import OPERATORS
from compress.reading.onnx.values import Call, Sizes, Step
from targets.errors import UserError
from targets.formats.onnx import numbers

CONTROL = ("Scan", "If")
"""Operators with graphs of their own."""


@dataclass(frozen=True)
class Graph:
    """One graph of a file: the main one, or the body of a loop, whose calls may also read what is around it."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, Sizes]
    steps: tuple[Step, ...]


def read(graph: Any, opset: int, around: frozenset[str] = frozenset()) -> Graph:
    """The graph of a `GraphProto`, which may read the names `around` it. UserError where it contradicts itself or has unknown operators."""
    constants = {tensor.name: numbers(tensor) for tensor in graph.initializer}
    inputs = tuple(value.name for value in graph.input if value.name not in constants)
    made = {*inputs, *constants}
    steps = []
    for node in graph.node:
        label = node.name or next(iter(node.output), node.op_type)
        _check_names(node, label, made, around)
        attributes = {attribute.name: _attribute(attribute, label, opset, around | made) for attribute in node.attribute}
        made.update(node.output)
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(attributes, label)
            continue
        if node.domain not in ("", "ai.onnx") and not (node.domain == "com.microsoft" and node.op_type in SPELLED_OUT):
            raise UserError(f"operator '{label}': {node.domain}.{node.op_type} is no operator of ONNX's standard; export it without")
        steps.append(Step(Call(label, node.op_type, attributes, opset, len(node.output)), tuple(node.input), tuple(node.output)))
    unknown = sorted({step.call.operator for step in steps} - set(OPERATORS) - set(CONTROL) - set(SPELLED_OUT))
    if unknown:
        raise UserError(f"operators that can't be read yet: {', '.join(unknown)}; export the network without them, or from torch as .pt2")
    outputs = tuple(value.name for value in graph.output)
    for name in outputs:
        if name not in made | around:
            raise UserError(f"no operator makes the output '{name}'; the file is damaged, export or download it again")
    return Graph(inputs, outputs, constants, spell_out(steps, constants))


def _check_names(node: Any, label: str, made: set[str], around: frozenset[str]) -> None:
    """Operators stand in the order they run, and every name is made once; so nothing can run in circles."""
    for name in node.input:
        if name and name not in made and name not in around:
            raise UserError(f"operator '{label}' reads '{name}', which nothing before it makes; the file is damaged or its order is wrong")
    for name in node.output:
        if name and name in made:
            raise UserError(f"operator '{label}' makes '{name}', which is there already; the file is damaged, export or download it again")
    if not any(node.output) or not all(isinstance(word, str) for word in (node.op_type, node.domain, *node.output)):
        raise UserError(f"operator '{label}' makes nothing that has a name; the file is damaged, export or download it again")


def _attribute(attribute: Any, label: str, opset: int, around: frozenset[str]) -> Any:
    from onnx import AttributeProto, helper

    if attribute.type == AttributeProto.TENSOR:
        return numbers(attribute.t)
    if attribute.type == AttributeProto.GRAPH:
        return read(attribute.g, opset, around)
    try:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode()
        if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
            return list(value)
        return [each.decode() for each in value] if attribute.type == AttributeProto.STRINGS else value
    except ValueError:
        raise UserError(f"operator '{label}': its attribute '{attribute.name}' can't be read; export or download the file again") from None


def _constant(attributes: dict[str, Any], label: str) -> Sizes:
    name, value = next(iter(attributes.items()), ("", None))
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if name == "value" and isinstance(value, np.ndarray):
        return value
    if name not in kinds:
        raise UserError(f"operator '{label}' (Constant): holds no numbers; only networks of tensors can be read")
    return np.asarray(value, kinds[name])
