"""Activations and softmaxes."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from compress.reading.onnx.values import Call, Value, tensor


def prelu(_: Call, value: Value, slope: Value) -> torch.Tensor:
    """One slope, or one a channel, stored as [C, 1, 1]."""
    values, slopes = tensor(value), tensor(slope)
    if slopes.numel() in (1, values.shape[1]):
        return F.prelu(values, slopes.reshape(-1))
    return torch.where(values < 0, values * slopes, values)


def softmax(call: Call, value: Value) -> torch.Tensor:
    """Before operator set 13 all axes from `axis` on are one."""
    return _along(call, tensor(value), torch.softmax)


def log_softmax(call: Call, value: Value) -> torch.Tensor:
    """As softmax."""
    return _along(call, tensor(value), torch.log_softmax)


def hard_sigmoid(call: Call, value: Value) -> torch.Tensor:
    """max(0, min(1, alpha * x + beta)); torch's own where the numbers are torch's."""
    alpha, beta = call.get("alpha", 0.2), call.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-4 and beta == 0.5:
        return F.hardsigmoid(tensor(value))
    return torch.clamp(tensor(value) * alpha + beta, 0.0, 1.0)


def gelu(call: Call, value: Value) -> torch.Tensor:
    """Exact, or by tanh."""
    approximate = call.get("approximate", "none")
    return F.gelu(tensor(value), approximate=approximate)


def _along(call: Call, values: torch.Tensor, function: Callable[..., torch.Tensor]) -> torch.Tensor:
    if call.opset >= 13:
        return function(values, call.get("axis", -1))
    axis = call.get("axis", 1) % values.dim()
    if axis == values.dim() - 1:
        return function(values, axis)
    return function(values.flatten(axis), axis).reshape(values.shape)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Relu": lambda _, value: F.relu(tensor(value)),
    "LeakyRelu": lambda call, value: F.leaky_relu(tensor(value), call.get("alpha", 0.01)),
    "Elu": lambda call, value: F.elu(tensor(value), call.get("alpha", 1.0)),
    "Selu": lambda _, value: F.selu(tensor(value)),
    "PRelu": prelu,
    "Sigmoid": lambda _, value: torch.sigmoid(tensor(value)),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": lambda _, value: F.hardswish(tensor(value)),
    "Tanh": lambda _, value: torch.tanh(tensor(value)),
    "Softplus": lambda _, value: F.softplus(tensor(value)),
    "Softsign": lambda _, value: F.softsign(tensor(value)),
    "Mish": lambda _, value: F.mish(tensor(value)),
    "Gelu": gelu,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
}
