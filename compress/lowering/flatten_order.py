"""Flattening before a fully connected layer: its weights can follow the NHWC order, so that no transpose has to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from compress.lowering.layout import CHANNELS_FIRST

Builtin = schema.BuiltinOperator
DTYPES: dict[int, np.dtype[Any]] = {schema.TensorType.FLOAT32: np.dtype(np.float32), schema.TensorType.INT8: np.dtype(np.int8)}


def reorder(file: Any) -> None:
    """Removes, in place, every TRANSPOSE to NCHW that is only there for a RESHAPE and a FULLY_CONNECTED with constant weights."""
    graph = _Graph(file)
    for transpose in list(graph.subgraph.operators):
        if graph.kind(transpose) != Builtin.TRANSPOSE or graph.constant(transpose.inputs[1], np.dtype(np.int32)) != [*CHANNELS_FIRST]:
            continue
        reshape = graph.only_reader(transpose, Builtin.RESHAPE)
        connected = graph.only_reader(reshape, Builtin.FULLY_CONNECTED)
        if connected is not None and graph.reorder_weights(connected.inputs[1], transpose.inputs[0]):
            reshape.inputs = [transpose.inputs[0], *reshape.inputs[1:]]
            graph.subgraph.operators.remove(transpose)


@dataclass(frozen=True)
class _Graph:
    file: Any

    @property
    def subgraph(self) -> Any:
        return self.file.subgraphs[0]

    def kind(self, operator: Any) -> int:
        code = self.file.operatorCodes[operator.opcodeIndex]
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))

    def constant(self, index: int, dtype: np.dtype[Any]) -> list[Any] | None:
        data = self.file.buffers[self.subgraph.tensors[index].buffer].data
        return None if data is None else np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype).tolist()

    def readers(self, index: int) -> list[Any]:
        return [operator for operator in self.subgraph.operators if index in operator.inputs]

    def only_reader(self, operator: Any, kind: int) -> Any:
        """The operator of this kind that alone reads the output of another, as its first input; None where there is none."""
        if operator is None or operator.outputs[0] in self.subgraph.outputs:
            return None
        readers = self.readers(operator.outputs[0])
        fits = len(readers) == 1 and self.kind(readers[0]) == kind and readers[0].inputs[0] == operator.outputs[0]
        return readers[0] if fits else None

    def reorder_weights(self, index: int, image: int) -> bool:
        """Puts the columns of weights [outputs, C*H*W] into the order H, W, C; False where they can't be."""
        weights = self.subgraph.tensors[index]
        _, height, width, channels = self.subgraph.tensors[image].shape
        buffer = self.file.buffers[weights.buffer]
        shared = sum(tensor.buffer == weights.buffer for tensor in self.subgraph.tensors) > 1 or len(self.readers(index)) > 1
        if weights.type not in DTYPES or buffer.data is None or shared or weights.shape[1] != height * width * channels:
            return False
        values = np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), DTYPES[weights.type])
        ordered = values.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        buffer.data = np.frombuffer(np.ascontiguousarray(ordered).tobytes(), np.uint8)
        return True
