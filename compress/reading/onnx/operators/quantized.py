"""Quantize/dequantize pairs, as the quantized graphs of edgepress have them: unsigned integers become signed ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.ao.quantization.fx._decomposed  # registers the operators

from compress.reading.onnx.values import Call, Value, tensor

decomposed: Any = torch.ops.quantized_decomposed
KINDS = {
    torch.int8: (torch.int8, 0, -128, 127),
    torch.uint8: (torch.int8, 128, -128, 127),
    torch.int16: (torch.int16, 0, -32768, 32767),
    torch.int32: (torch.int32, 0, -(2**31) + 129, 2**31 - 129),
}
"""A file's integers: ours, what is subtracted to get there, and their limits."""


def quantize(call: Call, value: Value, scale: Value, zero_point: Value | None = None) -> torch.Tensor:
    """Real numbers to integers of one scale."""
    scales, zeros = _parameters(call, scale, zero_point)
    dtype, shift, low, high = _kind(call, torch.uint8 if zero_point is None else tensor(zero_point).dtype)
    if len(scales) > 1:
        raise call.refuse("quantizes activations with a scale for each channel, which no runtime has")
    quantized: torch.Tensor = decomposed.quantize_per_tensor.default(
        tensor(value), float(scales[0]), int(zeros[0]) - shift, low, high, dtype
    )
    return quantized


def dequantize(call: Call, value: Value, scale: Value, zero_point: Value | None = None) -> torch.Tensor:
    """Integers to real numbers: of one scale, or one a channel of constants."""
    values = tensor(value)
    scales, zeros = _parameters(call, scale, zero_point)
    unsigned = zero_point is not None and tensor(zero_point).dtype == torch.uint8
    dtype, shift, low, high = _kind(call, torch.uint8 if unsigned else values.dtype)
    if values.dtype == torch.uint8:
        values = (values.to(torch.int16) - shift).to(torch.int8)
    real: torch.Tensor
    if len(scales) == 1:
        real = decomposed.dequantize_per_tensor.default(values, float(scales[0]), int(zeros[0]) - shift, low, high, dtype)
        return real
    axis = call.get("axis", 1) % values.dim()
    parameters = tensor(scales), tensor(zeros - shift)
    real = decomposed.dequantize_per_channel.default(values, *parameters, axis, low, high, dtype)
    return real


def _kind(call: Call, dtype: torch.dtype) -> tuple[torch.dtype, int, int, int]:
    if dtype not in KINDS:
        raise call.refuse(f"has integers of type {dtype}; int8, uint8, int16 and int32 are known")
    return KINDS[dtype]


def _parameters(call: Call, scale: Value, zero_point: Value | None) -> tuple[Any, Any]:
    given = [each.detach().numpy() if isinstance(each, torch.Tensor) else each for each in (scale, zero_point) if each is not None]
    if call.get("block_size", 0):
        raise call.refuse("has a scale for each block, which isn't known here")
    scales = np.asarray(given[0], np.float32).reshape(-1)
    zeros = np.asarray(given[1], np.int64).reshape(-1) if len(given) > 1 else np.zeros(len(scales), np.int64)
    return scales, np.broadcast_to(zeros, scales.shape).copy()


OPERATORS: dict[str, Callable[..., Any]] = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize}
