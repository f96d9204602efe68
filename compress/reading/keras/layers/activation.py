"""Activation layers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from compress.reading.keras import activations
from compress.reading.keras.layer import Layer, Made, Rule, alike, parameter
from compress.reading.keras.values import FIRST, KERAS, Flat, Value
from compress.reading.modules import Operator

Tensor = torch.Tensor


def relu(layer: Layer) -> Callable[[Tensor], Any]:
    """ReLU; Keras 2 may hold its numbers as arrays in dictionaries."""
    highest = layer.get("max_value")
    return partial(
        activations.relu,
        slope=_number(layer.get("negative_slope") or 0.0),
        highest=None if highest is None else _number(highest),
        threshold=_number(layer.get("threshold") or 0.0),
    )


def leaky_relu(layer: Layer) -> Callable[[Tensor], Any]:
    """LeakyReLU; the slope is called `alpha` in Keras 2."""
    return partial(F.leaky_relu, negative_slope=_number(layer.get("negative_slope", layer.get("alpha", 0.3))))


def elu(layer: Layer) -> Callable[[Tensor], Any]:
    """ELU."""
    return partial(F.elu, alpha=_number(layer.get("alpha", 1.0)))


def thresholded_relu(layer: Layer) -> Callable[[Tensor], Any]:
    """ThresholdedReLU of Keras 2."""
    return partial(activations.relu, threshold=_number(layer.get("theta", 1.0)))


SIMPLE: dict[str, Callable[[Layer], Callable[[Tensor], Any]]] = {
    "ReLU": relu,
    "LeakyReLU": leaky_relu,
    "ELU": elu,
    "ThresholdedReLU": thresholded_relu,
}
"""Number by number."""


class Slopes(nn.Module):
    """PReLU: a slope for what is below 0, learned for each channel, or each place."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = parameter(weight)

    def forward(self, values: Tensor) -> Tensor:
        """The layer."""
        if self.weight.dim() == 1:
            return F.prelu(values, self.weight)
        return F.relu(values) - self.weight * F.relu(-values)


def prelu(layer: Layer, value: Value) -> Made:
    """PReLU, with axes that share a slope."""
    layout = KERAS if isinstance(value.layout, Flat) else value.layout
    weight = layer.weight(0, *[None] * (value.rank - 1))
    if layout == FIRST and value.rank > 2:
        weight = weight.movedim(-1, 0)
    channels_only = weight.numel() == weight.shape[0] and (value.rank == 2 or layout == FIRST)
    return Made(Slopes(weight.reshape(-1) if channels_only else weight), (layout,), (layout,))


def softmax(layer: Layer, value: Value) -> Made:
    """Softmax along one axis."""
    axis = layer.get("axis", -1)
    if isinstance(axis, list):
        if len(axis) != 1:
            raise layer.refuse("goes along several axes")
        axis = axis[0]
    return alike(nn.Softmax(value.axis(axis)), value)


def activation(layer: Layer, value: Value) -> Made:
    """Activation: any function by its name."""
    function = activations.activation(layer, axis=value.axis(-1))
    return alike(function if isinstance(function, nn.Module) else Operator(function), value)


def _simple(function: Callable[[Layer], Callable[[Tensor], Any]]) -> Rule:
    return lambda layer, value: alike(Operator(function(layer)), value)


def _number(given: Any) -> float:
    """A number, or the dictionary that Keras 2 writes for a NumPy one."""
    return float(given.get("value", 0.0) if isinstance(given, dict) else given)


LAYERS: dict[str, Rule] = {
    "Activation": activation,
    **{name: _simple(function) for name, function in SIMPLE.items()},
    "PReLU": prelu,
    "Softmax": softmax,
}
