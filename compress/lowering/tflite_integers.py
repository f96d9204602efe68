"""Integers of other widths than 8 bits in a TFLite file, as its kernels ask for them: wide biases and packed weights."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from targets.formats import nibbles
from targets.formats.tflite_objects import operator_names

Type = schema.TensorType
BIAS_INPUTS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
"""Which input of an operator with weights is its bias; the weights are input 1."""


def widen_biases(file: Any) -> None:
    """Stores, in place, the int32 biases of operators with int16 activations as int64: kernels read their bytes as such."""
    graph = file.subgraphs[0]
    biases: dict[int, Any] = {}
    for operator, name in zip(graph.operators, operator_names(file), strict=True):
        position = BIAS_INPUTS.get(name)
        if position is None or len(operator.inputs) <= position or operator.inputs[position] < 0:
            continue
        bias = graph.tensors[operator.inputs[position]]
        if graph.tensors[operator.outputs[0]].type == Type.INT16 and bias.type == Type.INT32:
            biases[operator.inputs[position]] = bias
    _store(file, biases.values(), Type.INT64, lambda stored: stored.view(np.int32).astype(np.int64))


def allow_any_scale(file: Any) -> None:
    """Says, in place, that int16 sums may have any scales: kernels take those that happen to be powers of two for a rule of old files."""
    graph = file.subgraphs[0]
    options = {"ADD": schema.AddOptionsT, "SUB": schema.SubOptionsT}
    for operator, name in zip(graph.operators, operator_names(file), strict=True):
        if name in options and graph.tensors[operator.outputs[0]].type == Type.INT16:
            if operator.builtinOptions is None:
                operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name.capitalize()}Options")
                operator.builtinOptions = options[name]()
            operator.builtinOptions.potScaleInt16 = False


def pack_weights(file: Any, scales: Collection[bytes]) -> None:
    """Stores, in place, int8 weights two a byte (INT4): those whose scales (float32 [channels], as bytes) are among `scales`.

    The converter keeps the scales of a layer, but neither its weights' name nor how many bits they have.
    """
    chosen = [tensor for tensor in file.subgraphs[0].tensors if tensor.type == Type.INT8 and _scales(tensor) in scales]
    constants = [tensor for tensor in chosen if file.buffers[tensor.buffer].data is not None]
    _store(file, constants, Type.INT4, lambda stored: nibbles.pack(stored.view(np.int8)))


def _scales(tensor: Any) -> bytes:
    quantization = tensor.quantization
    return b"" if quantization is None or quantization.scale is None else np.asarray(quantization.scale, np.float32).tobytes()


def _store(file: Any, tensors: Iterable[Any], kind: int, change: Callable[[NDArray[np.uint8]], NDArray[Any]]) -> None:
    """Gives tensors another type and buffers with changed bytes; those that shared a buffer still do, and what nobody reads is emptied."""
    made: dict[int, int] = {}
    for tensor in tensors:
        if tensor.buffer not in made:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(change(np.asarray(file.buffers[tensor.buffer].data, np.uint8)).tobytes(), np.uint8)
            file.buffers.append(buffer)
            made[tensor.buffer] = len(file.buffers) - 1
        tensor.buffer, tensor.type = made[tensor.buffer], kind
    still_read = {tensor.buffer for graph in file.subgraphs for tensor in graph.tensors}
    for position in made.keys() - still_read:
        file.buffers[position].data = None
