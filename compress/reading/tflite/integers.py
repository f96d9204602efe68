"""Integers of a quantized file, kept as they are behind the quantize/dequantize nodes that edgepress's own quantized graphs have.

After TFLite's specification (https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec): real = (integer -
zero point) * scale, weights symmetric with a scale for each channel or one for all, biases at the scale of input times weights.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from compress.quantization.parameters import INT32_LIMIT
from compress.reading.tflite.values import UnliftedError
from targets.base import Array
from targets.formats.tflite import Quantization, Tensor

decomposed: Any = torch.ops.quantized_decomposed
ACTIVATIONS = {"int8": (-128, 127, torch.int8), "int16": (-32768, 32767, torch.int16)}
SYMMETRIC = {**ACTIVATIONS, "int8": (-127, 127, torch.int8), "int4": (-7, 7, torch.int8)}
BIAS = (-INT32_LIMIT, INT32_LIMIT, torch.int32)


@dataclass(frozen=True, eq=False)
class Grid:
    """What integers stand for: scales (float32 [n]) and zero points (int64 [n]) along `axis`, their limits and type in torch."""

    scales: Array
    zero_points: Array
    axis: int
    limits: tuple[int, int, torch.dtype]

    def quantize(self, values: torch.Tensor) -> torch.Tensor:
        """Real numbers to integers of one scale."""
        made: torch.Tensor = decomposed.quantize_per_tensor.default(values, *self._only(), *self.limits)
        return made

    def dequantize(self, integers: torch.Tensor, parameters: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        """Integers to real numbers; `parameters` are scales and zero points as a network stores them, where each channel has its own."""
        if parameters is None:
            real: torch.Tensor = decomposed.dequantize_per_tensor.default(integers, *self._only(), *self.limits)
        else:
            real = decomposed.dequantize_per_channel.default(integers, *parameters, self.axis, *self.limits)
        return real

    def _only(self) -> tuple[float, int]:
        return float(self.scales[0]), int(self.zero_points[0])


@dataclass(frozen=True, eq=False)
class Stored:
    """A constant of integers, laid out as the operator wants it."""

    integers: torch.Tensor
    grid: Grid


def activation(tensor: Tensor) -> Grid | None:
    """How a computed tensor is rounded; None where it holds no quantized numbers. UnliftedError for integers that edgepress hasn't."""
    found = tensor.quantization
    if found is None or not len(found.scale):
        return None
    if tensor.dtype not in ACTIVATIONS or found.per_channel:
        kind = f"{tensor.dtype} with a scale for each channel" if found.per_channel else tensor.dtype
        if tensor.dtype in ("float32", "bool"):
            return None
        raise UnliftedError(f"tensor '{tensor.name}': holds quantized {kind}; int8 and int16 with one scale can be lifted to torch")
    return _grid(found, 0, ACTIVATIONS[tensor.dtype])


def constant(tensor: Tensor, numbers: Array, order: tuple[int, ...] | None) -> Stored | None:
    """A weight or another constant of an integer operator, its axes in `order`; None where it isn't quantized.

    `numbers` are its real values, from which the integers follow where the file computes them.
    """
    found = tensor.quantization
    if found is None or not len(found.scale) or tensor.dtype not in SYMMETRIC:
        if tensor.dtype == "uint8":
            raise UnliftedError(f"tensor '{tensor.name}': holds weights of type uint8; int8 and int4 can be lifted to torch")
        return None
    order = tuple(range(numbers.ndim)) if order is None else order
    integers = _rounded(numbers, found) if tensor.data is None else tensor.data
    grid = _grid(found, order.index(found.axis) if found.per_channel else 0, SYMMETRIC[tensor.dtype])
    low, high, dtype = grid.limits
    if grid.zero_points.any() or (integers.size and integers.min() < low):
        if found.per_channel and grid.zero_points.any():
            raise UnliftedError(
                f"tensor '{tensor.name}': its channels have zero points, which no integer kernel of edgepress's exports knows"
            )
        low -= tensor.dtype != "int16"
    values = torch.from_numpy(np.array(integers.transpose(order), order="C")).to(dtype)
    return Stored(values, Grid(grid.scales, grid.zero_points, grid.axis, (low, high, dtype)))


def bias(tensor: Tensor, source: Grid, weight: Grid) -> Stored:
    """A bias, which kernels add to sums of products whatever scale the file gives it."""
    if tensor.data is None or tensor.dtype not in ("int32", "int64"):
        raise UnliftedError(f"tensor '{tensor.name}': a bias of integer layers is int32 or int64, this is {tensor.dtype}")
    if tensor.data.size and np.abs(tensor.data.astype(np.int64)).max() > INT32_LIMIT:
        raise UnliftedError(f"tensor '{tensor.name}': a bias is larger than the 32 bits that can be lifted to torch")
    scales = source.scales * weight.scales
    return Stored(torch.from_numpy(tensor.data.astype(np.int32)), Grid(scales, np.zeros(len(scales), np.int64), 0, BIAS))


def _grid(found: Quantization, axis: int, limits: tuple[int, int, torch.dtype]) -> Grid:
    zeros = np.broadcast_to(found.zero_point if len(found.zero_point) else np.zeros(1, np.int64), found.scale.shape)
    return Grid(np.array(found.scale, np.float32), np.array(zeros, np.int64), axis, limits)


def _rounded(numbers: Array, found: Quantization) -> Array:
    shape = [-1 if found.per_channel and axis == found.axis else 1 for axis in range(numbers.ndim)]
    rounded: Array = np.rint(numbers / found.scale.reshape(shape)) + found.zero_point.reshape(shape)
    return np.clip(rounded, -128, 127)
