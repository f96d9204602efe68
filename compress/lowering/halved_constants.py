"""Float16 weights in a TFLite file: a half constant and a DEQUANTIZE operator, as TFLite's own converter writes them."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema


def halve(file: Any) -> None:
    """Stores, in place, every float32 constant of two axes or more as float16 where that loses nothing."""
    graph = file.subgraphs[0]
    code = None
    casts = []
    for index, tensor in enumerate(list(graph.tensors)):
        data = file.buffers[tensor.buffer].data
        if tensor.type != schema.TensorType.FLOAT32 or data is None or tensor.shape is None or len(tensor.shape) < 2:
            continue
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.float32)
        halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            continue
        code = _dequantize_code(file) if code is None else code
        casts.append(_cast(file, graph, index, halves, code))
    graph.operators = [*casts, *graph.operators]


def _cast(file: Any, graph: Any, index: int, halves: np.ndarray[Any, np.dtype[np.float16]], code: int) -> Any:
    tensor = graph.tensors[index]
    stored = schema.TensorT()
    stored.shape, stored.type, stored.hasRank = tensor.shape, schema.TensorType.FLOAT16, True
    stored.name = f"{tensor.name}_half"
    stored.buffer = tensor.buffer
    file.buffers[tensor.buffer].data = np.frombuffer(halves.tobytes(), np.uint8)
    tensor.buffer = 0
    graph.tensors.append(stored)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [len(graph.tensors) - 1], [index]
    return operator


def _dequantize_code(file: Any) -> int:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3  # the first one that takes float16
    file.operatorCodes.append(code)
    return len(file.operatorCodes) - 1
