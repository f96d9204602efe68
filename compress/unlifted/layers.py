"""The layers of a TFLite file, for what works on it without torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from compress.reading.tflite.names import layer_names
from compress.unlifted.network import as_file
from targets.formats import tflite
from targets.formats.tflite import Graph, Operator, Tensor

WEIGHTS = {
    "CONV_2D": ((0, 3, 1, 2), 0),
    "DEPTHWISE_CONV_2D": ((3, 0, 1, 2), 0),
    "TRANSPOSE_CONV": ((3, 0, 1, 2), 1),
    "FULLY_CONNECTED": ((0, 1), 0),
}
"""Operators with weights as their second input: the order of axes that torch has those in, and which of these counts output channels."""
REAL = ("float32", "float16", "int8", "uint8", "int16", "int4")
"""Types of constants that the network has learned; int32 is counted where it is quantized, as a bias is."""


@dataclass(frozen=True)
class Layer:
    """An operator of the file under its layer's name, `kind` in lower case; `real` says that it takes or gives real numbers."""

    name: str
    kind: str
    operator: Operator
    real: bool


def layers(graph: Graph) -> list[Layer]:
    """Every operator of a file's main graph, in the order in which they run."""
    return [
        Layer(name, operator.name.lower(), operator, any(tensor.dtype == "float32" for tensor in _computed(graph, operator)))
        for name, operator in zip(layer_names(graph), graph.operators, strict=True)
    ]


def weights(graph: Graph, operator: Operator) -> Tensor | None:
    """The constant weights of an operator of `WEIGHTS`."""
    if operator.name not in WEIGHTS or len(operator.inputs) < 2 or operator.inputs[1] < 0:
        return None
    tensor = graph.tensors[operator.inputs[1]]
    return None if tensor.data is None else tensor


def costs(content: bytes) -> Iterator[tuple[str, str, int, int]]:
    """For each layer that multiplies or holds weights its name, operator, multiply-accumulates for one sample and parameters."""
    with as_file(content) as path:
        graph = tflite.load(path)
    counted: set[int] = set()
    for layer in layers(graph):
        own = {index for index in layer.operator.inputs if index >= 0 and _learned(graph.tensors[index])} - counted
        counted |= own
        macs = _macs(graph, layer.operator)
        if macs or own:
            yield layer.name, layer.kind, macs, sum(graph.tensors[index].elements for index in own)


def _macs(graph: Graph, operator: Operator) -> int:
    shapes = [graph.tensors[index].shape if index >= 0 else () for index in (*operator.inputs, *operator.outputs[:1])]
    result = prod(shapes[-1])
    if operator.name == "BATCH_MATMUL":
        left = shapes[0]
        return result * left[-2 if getattr(operator.options, "adjoint_x", False) else -1]
    if weights(graph, operator) is None:
        return 0
    kernel = shapes[1]
    if operator.name == "TRANSPOSE_CONV":
        return prod(shapes[2]) * prod(kernel[:3])
    return result * prod(kernel[1:3] if operator.name == "DEPTHWISE_CONV_2D" else kernel[1:])


def _computed(graph: Graph, operator: Operator) -> list[Tensor]:
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return [tensor for tensor in tensors if tensor.data is None]


def _learned(tensor: Tensor) -> bool:
    return tensor.data is not None and (tensor.dtype in REAL or tensor.quantization is not None)
