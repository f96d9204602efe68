"""Weights of a TFLite file on the grid that our own observers and roundings choose, so that any packer makes the same integers of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from compress.data.base import Array
from compress.quantization.parameters import Affine, WeightObserver, weight_scales, with_room_for_bias
from compress.quantization.rounding import Rounding
from compress.quantization.schemes import largest_weight
from compress.unlifted.layers import WEIGHTS, Layer, weights
from compress.unlifted.packing import Form
from targets.formats import tflite_objects
from targets.formats.tflite import Graph, Operator

SOURCE = {"TRANSPOSE_CONV": 2}
"""Which input is multiplied with the weights where it isn't the first."""
BIAS = {"TRANSPOSE_CONV": 3}
"""Which input is the bias where it isn't the third."""


@dataclass(frozen=True)
class Grids:
    """How scales and integers of weights are chosen.

    `sources` are the scales of what goes into layers, by tensors, where that is integers too: biases, whose scale is the product of both,
    must fit int32.
    """

    observer: WeightObserver
    rounding: Rounding
    sources: Mapping[int, Affine]

    def settle(self, content: bytes, graph: Graph, forms: Iterable[tuple[Layer, Form]]) -> tuple[bytes, dict[str, tuple[Array, Array]]]:
        """The file with the weights of convolutions and dense layers that become integers on their grid, and these tensors' ranges.

        Weights that several layers read are left to the packer.
        """
        file = tflite_objects.read(content)
        read = Counter(index for operator in graph.operators for index in operator.inputs)
        stored = Counter(tensor.buffer for tensor in file.subgraphs[0].tensors)
        ranges: dict[str, tuple[Array, Array]] = {}
        for layer, form in forms:
            tensor = weights(graph, layer.operator)
            if tensor is None or tensor.dtype != "float32" or form.scheme in ("float", "float16"):
                continue
            held = file.subgraphs[0].tensors[tensor.index]
            if read[tensor.index] == stored[held.buffer] == 1:
                values, largest = self._on_grid(graph, layer.operator, form)
                file.buffers[held.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
                ranges[tensor.name] = (-largest, largest)
        return tflite_objects.write(file), ranges

    def _on_grid(self, graph: Graph, operator: Operator, form: Form) -> tuple[Array, Array]:
        """Weights in the file's layout, multiples of their scales, and the largest on each grid in an array with the same axes."""
        order, axis = WEIGHTS[operator.name]
        given = torch.from_numpy(np.array(graph.tensors[operator.inputs[1]].data, np.float32).transpose(order).copy())
        scales = weight_scales(given, axis, form.bits, self.observer, form.granularity)
        bias, source = _bias(graph, operator), self.sources.get(operator.inputs[SOURCE.get(operator.name, 0)])
        if bias is not None and source is not None:
            scales = with_room_for_bias(scales, torch.from_numpy(np.array(bias)), source)
        if form.granularity == "tensor":
            scales = scales.max().repeat(len(scales))
        limit = largest_weight(form.bits)
        shape = [len(scales) if each == axis else 1 for each in range(given.dim())]
        values = self.rounding(given, scales, axis, limit).to(torch.float32) * scales.reshape(shape)
        largest = (scales * limit).reshape(shape)
        if form.granularity == "tensor":
            largest = largest.amax().reshape([1] * given.dim())
        back = tuple(np.argsort(order))
        return np.ascontiguousarray(values.numpy().transpose(back)), np.ascontiguousarray(largest.numpy().transpose(back))


def _bias(graph: Graph, operator: Operator) -> Array | None:
    place = BIAS.get(operator.name, 2)
    index = operator.inputs[place] if len(operator.inputs) > place else -1
    return None if index < 0 else graph.tensors[index].data
