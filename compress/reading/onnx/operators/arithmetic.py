"""Element by element: arithmetic, comparisons and functions of one number."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from compress.reading.onnx.values import Call, Value, tensor


def _both(tensors: Callable[..., Any], sizes: Callable[..., Any]) -> Callable[..., Value]:
    """An operator of two values, which computes sizes while the network is captured and tensors in the network."""

    def compute(_: Call, one: Value, other: Value) -> Value:
        if not isinstance(one, torch.Tensor) and not isinstance(other, torch.Tensor):
            return np.asarray(sizes(one, other))
        result: torch.Tensor = tensors(tensor(one), tensor(other))
        return result

    return compute


def _one(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Value]:
    return lambda _, value: function(tensor(value))


def divide(_: Call, one: Value, other: Value) -> Value:
    """Whole numbers are divided as C does, towards zero; real ones as they are."""
    if not isinstance(one, torch.Tensor) and not isinstance(other, torch.Tensor):
        return np.asarray(one // other)
    left, right = tensor(one), tensor(other)
    return left / right if left.is_floating_point() else torch.div(left, right, rounding_mode="trunc")


def power(_: Call, base: Value, exponent: Value) -> torch.Tensor:
    """A power by one number keeps that number in the call."""
    if not isinstance(exponent, torch.Tensor) and exponent.size == 1:
        return torch.pow(tensor(base), float(exponent.item()))
    return torch.pow(tensor(base), tensor(exponent))


def modulo(call: Call, one: Value, other: Value) -> torch.Tensor:
    """`fmod` has the sign of the dividend, otherwise that of the divisor."""
    return torch.fmod(tensor(one), tensor(other)) if call.get("fmod", 0) else torch.remainder(tensor(one), tensor(other))


def several(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[..., Value]:
    """Min, Max and Sum take any number of values."""

    def compute(_: Call, first: Value, *others: Value) -> torch.Tensor:
        result = tensor(first)
        for other in others:
            result = function(result, tensor(other))
        return result

    return compute


def mean_of(_: Call, *values: Value) -> torch.Tensor:
    """The mean of several tensors."""
    total = tensor(values[0])
    for value in values[1:]:
        total = total + tensor(value)
    return total / len(values)


def cast(call: Call, value: Value) -> Value:
    """To another type; sizes stay what they are as long as they stay whole numbers."""
    wanted = TYPES.get(call.get("to"))
    if wanted is None:
        raise call.refuse(f"casts to ONNX type {call.get('to')}, which networks here don't have")
    if not isinstance(value, torch.Tensor) and wanted in (torch.int64, torch.int32):
        return value
    return tensor(value).to(wanted)


def clip(call: Call, value: Value, low: Value | None = None, high: Value | None = None) -> torch.Tensor:
    """Bounds are attributes before operator set 11."""
    bounds = [_number(call, bound, name) for bound, name in ((low, "min"), (high, "max"))]
    return torch.clamp(tensor(value), *bounds)


def where(call: Call, condition: Value, one: Value, other: Value) -> Value:
    """One or the other, element by element."""
    if not any(isinstance(value, torch.Tensor) for value in (condition, one, other)):
        return np.where(*(call.sizes(value) for value in (condition, one, other)))
    return torch.where(tensor(condition), tensor(one), tensor(other))


def _number(call: Call, bound: Value | None, name: str) -> float | None:
    if bound is None:
        given = call.get(name)
        return None if given is None else float(given)
    return float(bound.item())


TYPES = {
    1: torch.float32,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    2: torch.uint8,
    3: torch.int8,
}
"""ONNX's numbers for types (TensorProto.DataType)."""

OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": _both(operator.add, operator.add),
    "Sub": _both(operator.sub, operator.sub),
    "Mul": _both(operator.mul, operator.mul),
    "Div": divide,
    "Pow": power,
    "Mod": modulo,
    "Min": several(torch.minimum),
    "Max": several(torch.maximum),
    "Sum": several(operator.add),
    "Mean": mean_of,
    "Cast": cast,
    "CastLike": lambda _, value, like: tensor(value).to(tensor(like).dtype),
    "Clip": clip,
    "Where": where,
    "Equal": _both(torch.eq, operator.eq),
    "Greater": _both(torch.gt, operator.gt),
    "GreaterOrEqual": _both(torch.ge, operator.ge),
    "Less": _both(torch.lt, operator.lt),
    "LessOrEqual": _both(torch.le, operator.le),
    "And": _both(torch.logical_and, operator.and_),
    "Or": _both(torch.logical_or, operator.or_),
    "Not": _one(torch.logical_not),
    "Neg": _one(torch.neg),
    "Abs": _one(torch.abs),
    "Sqrt": _one(torch.sqrt),
    "Exp": _one(torch.exp),
    "Log": _one(torch.log),
    "Sin": _one(torch.sin),
    "Cos": _one(torch.cos),
    "Erf": _one(torch.erf),
    "Floor": _one(torch.floor),
    "Ceil": _one(torch.ceil),
    "Round": _one(torch.round),
    "Sign": _one(torch.sign),
    "Reciprocal": _one(torch.reciprocal),
    "Identity": lambda _, value: value,
    "Dropout": lambda _, value, *rest: value,  # noqa: ARG005  ratio and mode mean nothing in inference
}
