"""The graph of a TFLite file as a torch module."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.reading.layout import Shape, arrange
from compress.reading.modules import Operator, add_operator, store, stored, with_arguments
from compress.reading.tflite import integers
from compress.reading.tflite.integers import Grid
from compress.reading.tflite.layout import CROSSINGS, images
from compress.reading.tflite.names import layer_names
from compress.reading.tflite.operators import OPERATORS, SIZES
from compress.reading.tflite.values import TO_FILE, TO_TORCH, Call, UnliftedError
from compress.reading.trial import try_out
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

SOURCE = {"TRANSPOSE_CONV": 2}
"""Which input is multiplied with the weights where it isn't the first."""

Order = tuple[int, ...] | None
Step = tuple[str, FileOperator, dict[int, str]]
"""An operator's module, the operator, and where its constants are kept, by position among its inputs."""


class TfliteNetwork(nn.Module):
    """Takes the file's inputs in their order, laid out as data are (images NCHW), and gives its outputs, images NCHW too.

    Each operator is a module called as its layer is (`names.layer_names`), with `weight` and `bias` where it has them. Tensors that are
    quantized in the file are rounded as they are there, unless `rounds` is False, and constants of operators that make them stay
    integers; other weights become real numbers. What the file computes of constants and of shapes is computed here once, for
    the `example`: one sample for each input. `single` networks refuse more samples than one at a time.

    UserError for an operator that isn't known, or that can't compute the example.
    """

    def __init__(self, graph: Graph, example: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.graph, self.images, self.single, self.rounds = graph, images(graph), False, True
        self.numbers = {tensor.index: real(tensor) for tensor in graph.tensors if tensor.data is not None}
        grids = {tensor.index: integers.activation(tensor) for tensor in graph.tensors if tensor.data is None}
        self.grids = {index: grid for index, grid in grids.items() if grid is not None}
        self.kept: dict[tuple[int, Order, bool], str] = {}
        self.stored_grids: dict[str, Grid] = {}
        self.steps: list[Step] = []
        inputs = [graph.tensors[index] for index in graph.inputs]
        self.shapes: Sequence[Shape] = [tensor.shape for tensor in inputs]
        values = self._arranged(example)
        with torch.no_grad():
            for name, operator in zip(layer_names(graph), graph.operators, strict=True):
                if not self._fold(operator, values):
                    self.steps.append(self._add(name, operator, values))
                    _tried(self.get_submodule(self.steps[-1][0]), self._operands(self.steps[-1], values))
                    self._run(self.steps[-1], values)
        self.forward = with_arguments(self._forward, [tensor.name.removeprefix("serving_default_").partition(":")[0] for tensor in inputs])

    def _forward(self, *inputs: torch.Tensor) -> Any:
        if self.single and inputs[0].shape[0] != 1:
            raise UserError("takes one sample at a time")
        values = self._arranged(inputs)
        for step in self.steps:
            self._run(step, values)
        outputs = [self._output(index, values) for index in self.graph.outputs]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _arranged(self, inputs: Sequence[torch.Tensor]) -> dict[int, Any]:
        """Samples as they are held."""
        values: dict[int, Any] = {}
        for index, given, shape in zip(self.graph.inputs, inputs, self.shapes, strict=True):
            ready = index in self.images and given.dim() == 4 and tuple(given.permute(TO_FILE).shape[1:]) == shape[1:]
            laid_out = given if ready else arrange(given, shape)
            values[index] = self._rounded(index, laid_out.permute(TO_TORCH) if index in self.images and not ready else laid_out)
        return values

    def _run(self, step: Step, values: dict[int, Any]) -> None:
        name, operator, _ = step
        made = self.get_submodule(name)(*self._operands(step, values))
        for index, value in zip(operator.outputs, made if isinstance(made, list) else [made], strict=True):
            values[index] = self._rounded(index, value)

    def _rounded(self, index: int, value: torch.Tensor) -> torch.Tensor:
        """A tensor as the file holds it: integers where it is quantized."""
        return self.grids[index].quantize(value) if index in self.grids and self.rounds else value

    def _real(self, index: int, values: dict[int, Any]) -> torch.Tensor:
        """What a tensor's reader is given; each has a dequantize node of its own."""
        value: torch.Tensor = values[index]
        return self.grids[index].dequantize(value) if index in self.grids and self.rounds else value

    def _operands(self, step: Step, values: dict[int, Any]) -> list[Any]:
        _, operator, constants = step
        return [
            self._real(index, values)
            if index in values
            else self._constant(constants[position])
            if position in constants
            else self.numbers.get(index)
            for position, index in enumerate(operator.inputs)
        ]

    def _output(self, index: int, values: dict[int, Any]) -> torch.Tensor:
        value = self._real(index, values) if index in values else torch.from_numpy(self.numbers[index].copy())
        return value.permute(TO_TORCH) if value.dim() == 4 and (index not in self.images or index in self.numbers) else value

    def _fold(self, operator: FileOperator, values: dict[int, Any]) -> bool:
        """Computes what is the same for all samples: shapes, and what is made of them and of constants."""
        if any(index in values for index in operator.inputs) and operator.name != "SHAPE":
            return False
        if operator.name == "DEQUANTIZE":
            self.numbers[operator.outputs[0]] = self.numbers[operator.inputs[0]]
            return True
        if operator.name == "SHAPE":
            made: Any = torch.tensor(self._shape(operator.inputs[0], values))
        else:
            operands = [
                self.numbers.get(index) if position in SIZES.get(operator.name, ()) else self._number(operator, position)
                for position, index in enumerate(operator.inputs)
            ]
            made = _tried(self._function(operator, values), operands)(*operands)
        for index, tensor in zip(operator.outputs, made if isinstance(made, list) else [made], strict=True):
            self.numbers[index] = (tensor.permute(TO_FILE) if index in self.images else tensor).detach().numpy()
        return True

    def _add(self, name: str, operator: FileOperator, values: dict[int, Any]) -> Step:
        """Makes the module of an operator, and keeps the constants that it computes with where they are needed first."""
        place, constants = add_operator(self, name, Operator(self._function(operator, values))), dict[int, str]()
        for position, index in enumerate(operator.inputs):
            value = None if position in SIZES.get(operator.name, ()) else self._number(operator, position)
            if value is not None:
                whole = self._integers(operator, position)
                key = index, self._order(operator, position), whole is not None
                if key not in self.kept:
                    self.kept[key] = f"{place}.{_leaf(operator.name, position)}"
                    self._keep(self.kept[key], value, whole)
                constants[position] = self.kept[key]
        return place, operator, constants

    def _keep(self, place: str, value: torch.Tensor, whole: integers.Stored | None) -> None:
        """Stores a constant, as integers with their scales beside them where it has any."""
        if whole is None:
            store(self, place, value, trained=value.is_floating_point())
            return
        store(self, place, whole.integers, trained=False)
        self.stored_grids[place] = whole.grid
        if len(whole.grid.scales) > 1:
            store(self, f"{place}_scale", torch.from_numpy(whole.grid.scales), trained=False)
            store(self, f"{place}_zero_point", torch.from_numpy(whole.grid.zero_points), trained=False)

    def _constant(self, place: str) -> torch.Tensor:
        """A constant that is kept, in real numbers."""
        value, grid = stored(self, place), self.stored_grids.get(place)
        if grid is None:
            return value
        several = len(grid.scales) > 1
        return grid.dequantize(value, (stored(self, f"{place}_scale"), stored(self, f"{place}_zero_point")) if several else None)

    def _integers(self, operator: FileOperator, position: int) -> integers.Stored | None:
        """A constant operand of an operator that makes integers; None where it is no integers."""
        if operator.outputs[0] not in self.grids:
            return None
        index = operator.inputs[position]
        if operator.name in WEIGHTS and position == BIAS.get(operator.name, 2):
            source = self.grids.get(operator.inputs[SOURCE.get(operator.name, 0)])
            weight = self._integers(operator, 1)
            return integers.bias(self.graph.tensors[index], source, weight.grid) if source and weight else None
        return integers.constant(self.graph.tensors[index], self.numbers[index], self._order(operator, position))

    def _function(self, operator: FileOperator, values: dict[int, Any]) -> Callable[..., Any]:
        result = self.graph.tensors[operator.outputs[0]]
        if operator.name not in OPERATORS:
            raise UnliftedError(f"operator '{result.name}': {operator.name} can't be lifted to torch yet")
        call = Call(
            name=result.name,
            operator=operator.name,
            options=operator.options,
            shape=result.shape,
            dtype=result.dtype,
            given=tuple(self._shape(index, values) for index in operator.inputs),
            images=tuple(self._is_image(operator, index) for index in operator.inputs),
            image=result.index in self.images,
        )
        return partial(OPERATORS[operator.name], call)

    def _shape(self, index: int, values: dict[int, Any]) -> Shape:
        """A tensor's shape in the file for one sample."""
        if index in values:
            return tuple((values[index].permute(TO_FILE) if index in self.images else values[index]).shape)
        return tuple(self.numbers[index].shape) if index in self.numbers else ()

    def _is_image(self, operator: FileOperator, index: int) -> bool:
        """Whether an operand is held as an image; constants are what the operator's other tensors are."""
        if index not in self.numbers:
            return index in self.images
        others = any(other in self.images for other in (*operator.inputs, *operator.outputs))
        return self.numbers[index].ndim == 4 and operator.name not in CROSSINGS and others

    def _order(self, operator: FileOperator, position: int) -> Order:
        """The order of a constant's axes that an operator wants."""
        image = self._is_image(operator, operator.inputs[position])
        return WEIGHTS.get(operator.name, {}).get(position, TO_TORCH if image else None)

    def _number(self, operator: FileOperator, position: int) -> torch.Tensor | None:
        """A constant operand as the operator wants it."""
        number, order = self.numbers.get(operator.inputs[position]), self._order(operator, position)
        return None if number is None else torch.from_numpy(np.array(number if order is None else number.transpose(order), order="C"))


def _tried(function: Callable[..., Any], operands: Sequence[Any]) -> Callable[..., Any]:
    """The function, after a try that would cost neither time nor memory: a damaged file may ask for any size."""
    places = [place for place, operand in enumerate(operands) if isinstance(operand, torch.Tensor)]

    def compute(*tensors: torch.Tensor) -> Any:
        given = dict(zip(places, tensors, strict=True))
        return function(*(given.get(place, operand) for place, operand in enumerate(operands)))

    try_out(Operator(compute), [operands[place] for place in places])
    return function


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
