"""Keras's activation functions by the names that configurations use."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from compress.reading.keras.layer import Layer

Tensor = torch.Tensor
Function = Callable[..., Any]


def hard_sigmoid_2(values: Tensor) -> Tensor:
    """Keras 2: 0.2 x + 0.5, between 0 and 1."""
    return (0.2 * values + 0.5).clamp(0.0, 1.0)


def relu(values: Tensor, slope: float = 0.0, highest: float | None = None, threshold: float = 0.0) -> Tensor:
    """Keras's ReLU: 0 or a slope below a threshold, cut off at the highest value."""
    if slope:
        below = slope * (values - threshold)
        rest = torch.where(values >= threshold, values, below) if threshold else F.leaky_relu(values, slope)
        return rest if highest is None else rest.clamp(max=highest)
    if threshold:
        kept = values * (values > threshold)
        return kept if highest is None else kept.clamp(0.0, highest)
    if highest is None:
        return F.relu(values)
    return F.relu6(values) if highest == 6.0 else F.hardtanh(values, 0.0, highest)


ACTIVATIONS: dict[str, Function] = {
    "linear": lambda values: values,
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": partial(F.leaky_relu, negative_slope=0.2),
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "gelu": F.gelu,
    "silu": F.silu,
    "swish": F.silu,
    "hard_silu": F.hardswish,
    "hard_swish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "log_sigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "hard_tanh": F.hardtanh,
    "tanh_shrink": F.tanhshrink,
    "soft_shrink": F.softshrink,
    "hard_shrink": F.hardshrink,
    "softplus": lambda values: F.softplus(values, threshold=100.0),
    "softsign": F.softsign,
    "squareplus": lambda values: (values + torch.sqrt(values * values + 4.0)) / 2.0,
    "exponential": torch.exp,
    "mish": F.mish,
}
"""Number by number."""

ALONG: dict[str, Function] = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}
"""Along the channels."""


def activation(layer: Layer, key: str = "activation", axis: int = -1) -> Function:
    """The function that a configuration names; `axis` is where the channels lie. UserError for one that is the file's own code."""
    given = layer.get(key)
    name, config = _named(given)
    if name in layer.custom:
        return layer.custom[name](config, [])
    if name in ALONG:
        return partial(ALONG[name], dim=axis)
    if name == "hard_sigmoid" and layer.version < 3:
        return hard_sigmoid_2
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    from compress.reading.keras.layers.activation import SIMPLE

    if name in SIMPLE:
        return SIMPLE[name](Layer(layer.name, name, config, (), layer.version))
    raise layer.refuse(
        f"{key} '{name}' is not built into Keras, and code in a file is never run; name your torch class for it under 'custom' of 'model'"
    )


def _named(given: Any) -> tuple[str, dict[str, Any]]:
    if given is None:
        return "linear", {}
    if isinstance(given, str):
        return given, {}
    name = given.get("class_name")
    config = given.get("config")
    if name == "function":
        return str(config), {}
    return str(name), config if isinstance(config, dict) else {}
