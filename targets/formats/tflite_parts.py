"""Splits a .tflite file into its operators, each in a file of its own, so that what each costs can be found with any runtime."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.formats import tflite, tflite_objects

RUNTIME = "runtime"
"""The name of the row that stands for what an inference costs before any operator begins."""

FED = ("float32", "float16", "int8", "uint8", "int16", "bool")
"""What may be random. A computed integer of more bits is an index or a shape, of which not every number will do."""
CALLING = ("CALL", "CALL_ONCE", "WHILE", "IF", "STABLEHLO_COMPOSITE")


@dataclass(frozen=True)
class Part:
    """One operator: what its output is called, the schema's name of it, and the bytes of a file that holds nothing else."""

    name: str
    operator: str
    content: bytes


def split(path: Path) -> Iterator[Part]:
    """The operators of a file's main graph in the order they run; first a RESHAPE of one number, named `runtime`, which does nothing.

    Nothing where operators can't stand alone: they keep variables from one to the next, call other graphs, or have shapes that only
    a run finds out. UserError where the file can't be read.
    """
    graph = tflite.load(path)
    if not separable(graph):
        return
    whole = tflite_objects.read(path.read_bytes())
    yield Part(RUNTIME, "RESHAPE", tflite_objects.write(_nothing()))
    for operator in graph.operators:
        fed = [index for index in operator.inputs if index >= 0 and graph.tensors[index].data is None]
        content = tflite_objects.write(_alone(whole, operator.index, fed))
        yield Part(graph.tensors[operator.outputs[0]].name, operator.name, content)


def separable(graph: tflite.Graph) -> bool:
    """Whether each operator can stand in a file of its own, fed with any numbers of its inputs' shapes."""
    tensors = [graph.tensors[index] for operator in graph.operators for index in operator.inputs if index >= 0]
    computed = any(tensor.data is None and (tensor.dtype not in FED or 0 in tensor.shape) for tensor in tensors)
    return not computed and not any(operator.name in CALLING or not operator.outputs for operator in graph.operators)


def _alone(whole: Any, index: int, inputs: Sequence[int]) -> Any:
    """A file with one operator of the main graph, fed with these tensors, and only the numbers that it needs. `whole` stays as it is."""
    part, graph, operator = (copy.copy(each) for each in (whole, whole.subgraphs[0], whole.subgraphs[0].operators[index]))
    graph.operators, graph.inputs, graph.outputs = [operator], list(dict.fromkeys(inputs)), list(operator.outputs)
    part.subgraphs, part.signatureDefs, part.metadata, part.metadataBuffer = [graph], [], [], []
    part.buffers = [copy.copy(buffer) for buffer in whole.buffers]
    tflite_objects.drop_unused(part)
    return part


def _nothing() -> Any:
    """A file that takes one number and gives it back."""
    from ai_edge_litert import schema_py_generated as schema

    graph, code, operator, made = schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT(), schema.ModelT()
    graph.tensors = [schema.TensorT(), schema.TensorT()]
    for number, tensor in enumerate(graph.tensors):
        tensor.name, tensor.shape, tensor.buffer, tensor.hasRank = f"number_{number}", [1], 0, True
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReshapeOptions, schema.ReshapeOptionsT()
    operator.builtinOptions.newShape = [1]
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [1]
    made.version, made.operatorCodes, made.subgraphs, made.buffers = 3, [code], [graph], [schema.BufferT()]
    return made
