"""Number by number: one tensor, or two that broadcast."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from compress.reading.keras.activations import relu
from compress.reading.keras.layer import Made, alike
from compress.reading.keras.layers.merging import agreed
from compress.reading.keras.operations.call import Calling, Function, WithConstant, as_keras, plain
from compress.reading.keras.values import FIRST, KERAS, Value
from compress.reading.modules import Operator

Tensor = torch.Tensor
TYPES = {"float16", "bfloat16", "float32", "float64"}


def alone(function: Callable[[Tensor], Any]) -> Function:
    """One tensor."""
    return lambda call: alike(Operator(function), call.value)


def built(build: Callable[[Calling], Callable[[Tensor], Any]]) -> Function:
    """One tensor, with options."""
    return lambda call: alike(Operator(build(call)), call.value)


def both(function: Callable[[Any, Any], Any]) -> Function:
    """Two operands: tensors, or a tensor and a number or array of the file, on either side."""

    def make(call: Calling) -> Made:
        one, other = call.get("x1", 0), call.get("x2", 1)
        if isinstance(one, Value) and isinstance(other, Value):
            layout = agreed((one, other))
            return Made(Operator(function), (layout, layout), (layout,))
        if not isinstance(one, Value) and not isinstance(other, Value):
            raise call.refuse("computes from constants alone")
        tensor, constant = (one, other) if isinstance(one, Value) else (other, one)
        ordered = function if tensor is one else (lambda values, fixed: function(fixed, values))
        return with_constant(call, tensor, constant, ordered)

    return make


def with_constant(call: Calling, value: Value, constant: Any, function: Callable[[Any, Any], Any]) -> Made:
    """A tensor and a number or array of the file, laid out as the tensor is."""
    array = np.asarray(constant)
    if array.dtype.kind not in "fiub":
        raise call.refuse("is given something that is no number")
    if array.size == 1 and array.ndim <= value.rank:
        number = array.reshape(-1)[0].item()
        return alike(Operator(lambda values: function(values, number)), value)
    layout = plain(value)
    held = torch.from_numpy(array.astype(np.float32))
    if held.dim() > value.rank:
        return Made(WithConstant(function, held), (KERAS,), (KERAS,))
    held = held.reshape(*[1] * (value.rank - held.dim()), *held.shape)
    if layout == FIRST and value.rank > 2:
        held = held.movedim(-1, 1)
    return Made(WithConstant(function, held.contiguous()), (layout,), (layout,))


def power(values: Any, exponent: Any) -> Any:
    """A power; a square is one product, which passes know."""
    return values * values if isinstance(exponent, int | float) and exponent == 2 else values**exponent


def extreme(function: Callable[[Tensor, Tensor], Tensor], bound: str) -> Callable[[Any, Any], Any]:
    """Maximum or minimum, also of a number."""

    def compute(one: Any, other: Any) -> Any:
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            return function(one, other)
        tensor, number = (one, other) if isinstance(one, Tensor) else (other, one)
        return F.relu(tensor) if bound == "min" and number == 0 else tensor.clamp(**{bound: number})

    return compute


def clip(call: Calling) -> Callable[[Tensor], Any]:
    """Between two numbers."""
    low, high = float(call.get("x_min", 1)), float(call.get("x_max", 2))
    return F.relu6 if (low, high) == (0.0, 6.0) else partial(F.hardtanh, min_val=low, max_val=high)


def cast(call: Calling) -> Callable[[Tensor], Any]:
    """To another kind of real number, which changes nothing here; to whole numbers and back."""
    wanted = str(call.get("dtype", 1))
    if wanted in TYPES:
        return lambda values: values if values.is_floating_point() else values.float()
    if wanted == "bool":
        return lambda values: values != 0
    return lambda values: values.to(torch.int64)


def where(call: Calling) -> Made:
    """One of two numbers or tensors by a condition."""
    parts = [call.get(name, position) for position, name in enumerate(("condition", "x1", "x2"))]
    fixed = [None if isinstance(part, Value) else torch.as_tensor(np.asarray(part), dtype=torch.float32) for part in parts]

    def compute(*given: Tensor) -> Tensor:
        left = iter(given)
        condition, one, other = (next(left) if each is None else each for each in fixed)
        return torch.where(condition.bool(), one, other)

    if any(each is not None and each.dim() for each in fixed):
        raise call.refuse("chooses from arrays")
    layout = agreed(call.values)
    return Made(Operator(compute), (layout,) * len(call.values), (layout,))


def matmul(call: Calling) -> Made:
    """A product of matrices, one of which may stand in the file."""
    one, other = call.get("x1", 0), call.get("x2", 1)
    flags = [bool(call.get(name)) for name in ("transpose_a", "transpose_b")]

    def compute(a: Tensor, b: Tensor) -> Tensor:
        x, y = (each.transpose(-1, -2) if flag else each for each, flag in zip((a, b), flags, strict=True))
        return x @ y

    if isinstance(one, Value) and isinstance(other, Value):
        return as_keras(call, compute)
    tensor, constant = (one, other) if isinstance(one, Value) else (other, one)
    held = torch.from_numpy(np.asarray(constant, np.float32))
    ordered = compute if tensor is one else (lambda values, fixed: compute(fixed, values))
    return Made(WithConstant(ordered, held), (KERAS,), (KERAS,))


def einsum(call: Calling) -> Made:
    """Products and sums by an equation."""
    equation = str(call.get("subscripts", 0))
    return as_keras(call, lambda *given: torch.einsum(equation, *given))


ALONE: dict[str, Callable[[Tensor], Any]] = {
    "Abs": torch.abs,
    "Absolute": torch.abs,
    "Negative": torch.neg,
    "Exp": torch.exp,
    "Log": torch.log,
    "Log1p": torch.log1p,
    "Sqrt": torch.sqrt,
    "Rsqrt": torch.rsqrt,
    "Square": lambda values: values * values,
    "Reciprocal": torch.reciprocal,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Round": torch.round,
    "Sign": torch.sign,
    "Erf": torch.erf,
    "LogicalNot": torch.logical_not,
    "Identity": lambda values: values,
    "StopGradient": lambda values: values,
    "Relu6": F.relu6,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Silu": F.silu,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "HardSigmoid": F.hardsigmoid,
    "HardSilu": F.hardswish,
    "HardTanh": F.hardtanh,
    "LogSigmoid": F.logsigmoid,
    "Mish": F.mish,
    "Selu": F.selu,
    "TanhShrink": F.tanhshrink,
    "Squareplus": lambda values: (values + torch.sqrt(values * values + 4.0)) / 2.0,
}
BOTH: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "Power": power,
    **dict.fromkeys(("Divide", "TrueDivide"), lambda a, b: a / b),
    "Maximum": extreme(torch.maximum, "min"),
    "Minimum": extreme(torch.minimum, "max"),
    "Greater": lambda a, b: a > b,
    "GreaterEqual": lambda a, b: a >= b,
    "Less": lambda a, b: a < b,
    "LessEqual": lambda a, b: a <= b,
    "Equal": lambda a, b: a == b,
    "NotEqual": lambda a, b: a != b,
    "SquaredDifference": lambda a, b: (a - b) * (a - b),
    "LogicalAnd": torch.logical_and,
    "LogicalOr": torch.logical_or,
}
BUILT: dict[str, Callable[[Calling], Callable[[Tensor], Any]]] = {
    "Relu": lambda call: partial(
        relu,
        slope=float(call.get("negative_slope", default=call.get("alpha", default=0.0))),
        highest=call.get("max_value"),
        threshold=float(call.get("threshold", default=0.0)),
    ),
    "LeakyRelu": lambda call: partial(
        F.leaky_relu, negative_slope=float(call.get("negative_slope", default=call.get("alpha", default=0.2)))
    ),
    "Elu": lambda call: partial(F.elu, alpha=float(call.get("alpha", default=1.0))),
    "Celu": lambda call: partial(F.celu, alpha=float(call.get("alpha", default=1.0))),
    "Gelu": lambda call: partial(F.gelu, approximate="tanh" if call.get("approximate", default=False) else "none"),
    "Clip": clip,
    "Cast": cast,
}
OPERATIONS: dict[str, Function] = {
    **{name: alone(function) for name, function in ALONE.items()},
    **{name: both(function) for name, function in BOTH.items()},
    **{name: built(build) for name, build in BUILT.items()},
    "Where": where,
    "Matmul": matmul,
    "Einsum": einsum,
}
