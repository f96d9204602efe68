"""The graph of a floating-point TFLite file as a torch module."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.reading.layout import Shape, arrange
from compress.reading.modules import Names, Operator, store, with_arguments
from compress.reading.tflite.operators import OPERATORS
from compress.reading.tflite.values import TO_TORCH, Call, to_file, to_torch
from targets.base import Array
from targets.errors import UserError
from targets.formats.tflite import Graph, Tensor
from targets.formats.tflite import Operator as FileOperator

WEIGHTS: dict[str, dict[int, tuple[int, ...]]] = {
    "CONV_2D": {1: (0, 3, 1, 2)},
    "DEPTHWISE_CONV_2D": {1: (3, 0, 1, 2)},
    "TRANSPOSE_CONV": {1: (3, 0, 1, 2)},
    "FULLY_CONNECTED": {1: (0, 1)},
}
"""Which input of an operator is its weights, and the order of axes that torch has them in."""

BIAS = {"TRANSPOSE_CONV": 3}
"""Which input is the bias where it isn't the third."""

FILL = ("PADV2", 2)
"""An input that is part of the call."""


class TfliteNetwork(nn.Module):
    """Takes the file's inputs in their order, laid out as data are (images NCHW), and gives its outputs, images NCHW too.

    Each operator is a module called as the file calls its result, with `weight` and `bias` where it has them. Weights that are
    stored as integers or halves become real numbers. UserError for a file that computes with integers, or an operator that isn't known.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph, self.names = graph, Names()
        self.numbers = {tensor.index: real(tensor) for tensor in graph.tensors if tensor.data is not None}
        self.steps: list[tuple[str, FileOperator]] = []
        for operator in graph.operators:
            if operator.name == "DEQUANTIZE" and operator.inputs[0] in self.numbers:
                self.numbers[operator.outputs[0]] = self.numbers[operator.inputs[0]]
            else:
                self.steps.append((self._add(operator), operator))
        inputs = [graph.tensors[index] for index in graph.inputs]
        self.shapes: Sequence[Shape] = [tensor.shape for tensor in inputs]
        self.forward = with_arguments(self._forward, [tensor.name.removeprefix("serving_default_").partition(":")[0] for tensor in inputs])

    def _forward(self, *inputs: torch.Tensor) -> Any:
        values: dict[int, Any] = {}
        for index, given, shape in zip(self.graph.inputs, inputs, self.shapes, strict=True):
            values[index] = given if _is_image(given, shape) else to_torch(arrange(given, shape))
        for name, operator in self.steps:
            module = self.get_submodule(name)
            made = module(
                *(self._operand(name, (operator.name, position), index, values) for position, index in enumerate(operator.inputs))
            )
            values |= dict(zip(operator.outputs, made if isinstance(made, list) else [made], strict=True))
        outputs = [values[index] for index in self.graph.outputs]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _operand(self, module: str, place: tuple[str, int], index: int, values: dict[int, Any]) -> Any:
        if index < 0:
            return None
        if index in values:
            return values[index]
        found = getattr(self.get_submodule(module), _leaf(*place), None)
        return self.numbers[index] if found is None else found

    def _add(self, operator: FileOperator) -> str:
        tensor = self.graph.tensors[operator.outputs[0]]
        if operator.name not in OPERATORS:
            raise UserError(
                f"operator '{tensor.name}': {operator.name} can't be lifted to torch yet; `edgepress profile` takes the file as it is"
            )
        call = Call(tensor.name, operator.name, operator.options, tensor.shape)
        name = self.names.unique(tensor.name, operator.name)
        self.add_module(name, Operator(partial(OPERATORS[operator.name], call)))
        for position, index in enumerate(operator.inputs):
            number = self.numbers.get(index)
            if number is not None and number.dtype == np.float32 and (operator.name, position) != FILL:
                order = WEIGHTS.get(operator.name, {}).get(position, TO_TORCH if number.ndim == 4 else None)
                laid_out = number if order is None else number.transpose(order)
                store(self, f"{name}.{_leaf(operator.name, position)}", torch.from_numpy(np.array(laid_out)), trained=True)
        return name


def real(tensor: Tensor) -> Array:
    """A constant's numbers: floating-point ones and quantized weights as float32, everything else as it is."""
    data, found = tensor.data, tensor.quantization
    if data is None:
        raise UserError(f"tensor '{tensor.name}' is computed")
    if found is not None and len(found.scale) and tensor.dtype in ("int8", "uint8", "int16", "int4"):
        shape = [1] * data.ndim
        if found.per_channel:
            shape[found.axis] = -1
        values: Array = (data.astype(np.float32) - found.zero_point.reshape(shape).astype(np.float32)) * found.scale.reshape(shape)
        return values
    return data.astype(np.float32) if tensor.dtype == "float16" else data


def _leaf(operator: str, position: int) -> str:
    if position in WEIGHTS.get(operator, {}):
        return "weight"
    return "bias" if operator in WEIGHTS and position == BIAS.get(operator, 2) else f"constant{position}"


def _is_image(given: torch.Tensor, shape: Shape) -> bool:
    return given.dim() == 4 and len(shape) == 4 and tuple(to_file(given).shape[1:]) == shape[1:]
