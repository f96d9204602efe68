"""Every operator that can be read, by ONNX's name for it."""

from collections.abc import Callable
from typing import Any

from compress.reading.onnx.operators import activation, arithmetic, layers, pooling, quantized, recurrent, shape

OPERATORS: dict[str, Callable[..., Any]] = (
    activation.OPERATORS
    | arithmetic.OPERATORS
    | layers.OPERATORS
    | pooling.OPERATORS
    | quantized.OPERATORS
    | recurrent.OPERATORS
    | shape.OPERATORS
)
