"""Fully connected layers and embeddings."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from compress.reading.keras.activations import Function, activation
from compress.reading.keras.layer import Layer, Made, Rule, parameter
from compress.reading.keras.layers.convolution import Convolution
from compress.reading.keras.values import FIRST, KERAS, Flat, Value


class Dense(nn.Module):
    """A product with weights [out, in] over the last axis, and an activation."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activate: Function) -> None:
        super().__init__()
        self.weight, self.bias = parameter(weight), None if bias is None else parameter(bias)
        self.activate = activate

    def forward(self, values: torch.Tensor) -> Any:
        """The layer."""
        return self.activate(F.linear(values, self.weight, self.bias))


class EinsumDense(nn.Module):
    """A product of two tensors by an equation."""

    def __init__(self, equation: str, weight: torch.Tensor, bias: torch.Tensor | None, activate: Function) -> None:
        super().__init__()
        self.weight, self.bias = parameter(weight), None if bias is None else parameter(bias)
        self.equation, self.activate = equation, activate

    def forward(self, values: torch.Tensor) -> Any:
        """The layer."""
        made = torch.einsum(self.equation, values, self.weight)
        return self.activate(made if self.bias is None else made + self.bias)


class Lookup(nn.Module):
    """Rows of a table by numbers, which come as real ones."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = parameter(weight)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The layer."""
        return F.embedding(values.long(), self.weight)


def dense(layer: Layer, value: Value) -> Made:
    """Dense. Behind a flattened image its weights follow the image's order; on an image it is a convolution of single pixels."""
    kernel = layer.weight(0, value.shape[-1], None)
    bias = layer.weight(1, kernel.shape[1]) if layer.get("use_bias", True) else None
    if value.layout == FIRST and value.rank > 2:
        axes = value.rank - 2
        if axes > 3:
            return Made(Dense(kernel.T, bias, activation(layer)), (KERAS,), (KERAS,))
        weight = kernel.T.reshape(*reversed(kernel.shape), *[1] * axes)
        return Made(Convolution(weight, bias, activation(layer, axis=1), pads=[(0, 0)] * axes), (FIRST,), (FIRST,))
    if isinstance(value.layout, Flat):
        return Made(Dense(channels_first(kernel, value.layout).T, bias, activation(layer)), (value.layout,), (KERAS,))
    return Made(Dense(kernel.T, bias, activation(layer)), (KERAS,), (KERAS,))


def channels_first(values: torch.Tensor, flat: Flat) -> torch.Tensor:
    """What goes along axis 0 of a flattened image in Keras's order, in torch's."""
    channels, *spatial = flat.image
    return values.reshape(*spatial, channels, *values.shape[1:]).movedim(len(spatial), 0).reshape(math.prod(flat.image), *values.shape[1:])


def einsum_dense(layer: Layer, _: Value) -> Made:
    """EinsumDense; a bias goes along the axes that `bias_axes` names."""
    equation = str(layer.get("equation"))
    inputs, output = equation.replace(" ", "").split("->")
    names = layer.get("bias_axes")
    kernel = layer.weight(0)
    bias = None
    if names:
        letters = output.replace("...", "")
        sizes = dict(zip(inputs.partition(",")[2], kernel.shape, strict=True))
        first = min(letters.index(letter) for letter in names)
        wanted = [sizes[letter] if letter in names else 1 for letter in letters[first:]]
        bias = layer.weight(1).reshape(wanted)
    return Made(EinsumDense(equation, kernel, bias, activation(layer)), (KERAS,), (KERAS,))


def embedding(layer: Layer, _: Value) -> Made:
    """Embedding."""
    return Made(Lookup(layer.weight(0, None, None)), (KERAS,), (KERAS,))


LAYERS: dict[str, Rule] = {"Dense": dense, "EinsumDense": einsum_dense, "Embedding": embedding}
