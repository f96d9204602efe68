"""Parts put into a TFLite file (a `ModelT`, changed in place): buffers, tensors, operators."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from targets.formats.tflite_objects import text


def add_buffer(file: Any, values: NDArray[Any]) -> int:
    """A new buffer with an array's bytes; its number."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    file.buffers.append(buffer)
    return len(file.buffers) - 1


def add_tensor(file: Any, name: str, shape: Iterable[int], kind: int, values: NDArray[Any] | None = None) -> int:
    """A new tensor of the main graph, constant where there are values; its number. `kind` is a `TensorType`."""
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.hasRank = name, [*shape], kind, True
    tensor.buffer = 0 if values is None else add_buffer(file, values)
    file.subgraphs[0].tensors.append(tensor)
    return len(file.subgraphs[0].tensors) - 1


def operator(file: Any, kind: int, inputs: Sequence[int], output: int, version: int = 1) -> Any:
    """An operator with one output, of a `BuiltinOperator` and version; the caller puts it into the main graph's list."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = version
    known = [(max(one.builtinCode, one.deprecatedBuiltinCode), one.version) for one in file.operatorCodes]
    if (kind, version) not in known:
        file.operatorCodes.append(code)
        known.append((kind, version))
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = known.index((kind, version)), [*inputs], [output]
    return made


def readers(file: Any, tensor: int) -> list[Any]:
    """The operators of the main graph that read a tensor."""
    return [operator for operator in file.subgraphs[0].operators if tensor in operator.inputs]


def name_of(file: Any, tensor: int) -> str:
    """A tensor's name."""
    return text(file.subgraphs[0].tensors[tensor].name)


def drop_unread(file: Any, buffers: Iterable[int]) -> None:
    """Empties those of these buffers that no tensor has any more."""
    read = {tensor.buffer for graph in file.subgraphs for tensor in graph.tensors}
    for number in set(buffers) - read:
        file.buffers[number].data = None
