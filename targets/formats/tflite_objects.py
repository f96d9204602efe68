"""TFLite files as objects (the schema's own, from ai_edge_litert), read, changed and written again."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

IDENTIFIER = b"TFL3"
ALIGNMENT = 16
"""What the schema asks of buffers; kernels of small cores read them as wider integers."""


FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.FLOAT64)


class AlignedBuffer(schema.BufferT):  # type: ignore[misc]  # generated code without types
    """A buffer whose bytes start where the schema wants them, which the generated code forgets."""

    def Pack(self, builder: Any) -> Any:  # noqa: N802  the generated code's name
        """Writes the buffer."""
        data = None if self.data is None else np.asarray(self.data, np.uint8).tobytes()
        vector = None
        if data is not None:
            builder.StartVector(1, len(data), ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]  # a package without types
    """Writes equal lists of numbers once: the zero points of channels, all 0, are a sixth of a small network's int8 file."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.written: dict[tuple[str, bytes], Any] = {}

    def CreateNumpyVector(self, x: Any) -> Any:  # noqa: N802  the library's name
        """Where the numbers lie, written now or before."""
        key = (x.dtype.str, x.tobytes())
        if key not in self.written:
            self.written[key] = super().CreateNumpyVector(x)
        return self.written[key]


def read(content: bytes) -> Any:
    """The file as a `ModelT`."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def write(model: Any) -> bytes:
    """The bytes of a `ModelT`."""
    for position, buffer in enumerate(model.buffers):
        aligned = AlignedBuffer()
        aligned.data = buffer.data
        model.buffers[position] = aligned
    builder = SharingBuilder()
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def operator_kind(model: Any, operator: Any) -> int:
    """The schema's `BuiltinOperator` of an operator."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def operator_names(model: Any) -> list[str]:
    """The schema's name of each operator of the main graph, in order."""
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    return [names.get(operator_kind(model, operator), "CUSTOM") for operator in model.subgraphs[0].operators]


def operator_code(model: Any, kind: int, version: int = 1) -> int:
    """The index of a builtin operator among the file's operator codes, where it is put if it isn't there."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == kind and code.version == version:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def drop_unused(model: Any) -> None:
    """Takes out, in place, what no output of the main graph depends on: operators, their codes, tensors and the content of buffers."""
    graph = model.subgraphs[0]
    needed = set(graph.outputs)
    kept = []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
            kept.append(operator)
    graph.operators = kept[::-1]
    named = {index for entry in model.signatureDefs or [] for part in (*entry.inputs, *entry.outputs) for index in [part.tensorIndex]}
    tensors = sorted((needed | named | set(graph.inputs) | {index for operator in kept for index in operator.outputs}) - {-1})
    moved = {-1: -1} | {old: new for new, old in enumerate(tensors)}
    graph.tensors = [graph.tensors[index] for index in tensors]
    for part in (graph, *graph.operators):
        part.inputs, part.outputs = [moved[index] for index in part.inputs], [moved[index] for index in part.outputs]
    for entry in model.signatureDefs or []:
        for part in (*entry.inputs, *entry.outputs):
            part.tensorIndex = moved[part.tensorIndex]
    codes = sorted({operator.opcodeIndex for each in model.subgraphs for operator in each.operators})
    model.operatorCodes = [model.operatorCodes[index] for index in codes]
    for each in model.subgraphs:
        for operator in each.operators:
            operator.opcodeIndex = codes.index(operator.opcodeIndex)
    read = {tensor.buffer for each in model.subgraphs for tensor in each.tensors} | {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in read:
            buffer.data = None


def text(name: Any) -> str:
    """A name of the file as text."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
