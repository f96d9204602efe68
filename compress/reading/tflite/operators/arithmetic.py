"""TFLite's operators that go number by number, over an axis, or multiply matrices, in torch."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from compress.reading.tflite.values import Call, activated, alike

Tensor = torch.Tensor
DTYPES = {name: getattr(torch, name) for name in ("float32", "int8", "int16", "int32", "int64", "uint8", "bool")} | {
    "float16": torch.float32
}


def fully_connected(call: Call, values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """FULLY_CONNECTED: all axes but the last are batches, or with `keep_dims` stay."""
    flat = call.to_file(values)
    if not call.options.keep_dims and flat.dim() != 2:
        flat = flat.reshape(-1, weight.shape[1])
    return call.to_torch(activated(F.linear(flat, weight, bias), call.options.activation))


def matrix_product(call: Call, one: Tensor, other: Tensor) -> Tensor:
    """BATCH_MATMUL."""
    left, right = call.to_file(one), call.to_file(other, 1)
    left = left.transpose(-1, -2) if call.options.adjoint_x else left
    product: Tensor = torch.matmul(left, right.transpose(-1, -2) if call.options.adjoint_y else right)
    return call.to_torch(product)


def total(call: Call, *values: Tensor) -> Tensor:
    """ADD_N."""
    return functools.reduce(torch.add, alike(call, *values))


def both(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Two tensors that broadcast."""

    def compute(call: Call, one: Tensor, other: Tensor) -> Tensor:
        result = function(*alike(call, one, other))
        return activated(result, call.options.activation) if hasattr(call.options, "activation") else result

    return compute


def alone(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """One tensor, number by number."""
    return lambda _, values: function(values)


def quotient(one: Tensor, other: Tensor) -> Tensor:
    """DIV: of whole numbers a whole number, rounded towards zero."""
    return one / other if one.is_floating_point() else torch.div(one, other, rounding_mode="trunc")


def squared_difference(one: Tensor, other: Tensor) -> Tensor:
    """SQUARED_DIFFERENCE."""
    difference = one - other
    return difference * difference


def select(call: Call, condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """SELECT and SELECT_V2; the condition of the first may be a vector along the first axis."""
    if call.operator == "SELECT" and 1 == condition.dim() < one.dim():
        condition = condition.reshape(-1, *[1] * (one.dim() - 1))
    condition, one, other = alike(call, condition, one, other)
    return torch.where(condition, one, other)


def cast(call: Call, values: Tensor) -> Tensor:
    """CAST."""
    if call.dtype not in DTYPES:
        raise call.refuse(f"makes numbers of type {call.dtype}, which torch networks here don't have")
    wanted = DTYPES[call.dtype]
    return values if values.dtype == wanted else values.to(wanted)


def over_last(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Over the last axis, the channels."""
    return lambda call, values: function(values, dim=call.axis(-1, values.dim()))


def softmax(call: Call, values: Tensor) -> Tensor:
    """SOFTMAX over the last axis."""
    beta = call.options.beta or 1.0
    return torch.softmax(values * beta if beta != 1.0 else values, call.axis(-1, values.dim()))


def reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    """Over some axes. What is left of an image is in the file's order, unless its axes stay or it has only its channels left."""

    def compute(call: Call, values: Tensor, axes: Any) -> Tensor:
        rank, keep = values.dim(), call.options.keep_dims
        in_file = sorted({axis % rank for axis in call.whole(axes)})
        if call.images[0] and (keep or in_file == [1, 2]):
            return function(values, [2, 3] if in_file == [1, 2] else [(0, 2, 3, 1)[axis] for axis in in_file], keep)
        return call.to_torch(function(call.to_file(values), in_file, keep))

    return compute


def product(values: Tensor, axes: list[int], keep: bool) -> Tensor:
    """REDUCE_PROD."""
    for axis in reversed(axes):
        values = values.prod(axis, keep)
    return values


def extreme(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """ARG_MAX and ARG_MIN."""

    def compute(call: Call, values: Tensor, axis: Any) -> Tensor:
        return call.to_torch(function(call.to_file(values), dim=call.whole(axis)[0]).to(DTYPES[call.dtype]))

    return compute
