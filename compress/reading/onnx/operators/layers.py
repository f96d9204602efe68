"""Layers with weights, and normalization: convolutions, matrix products, BatchNorm and its kin."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from compress.reading.onnx.padding import amounts, symmetric
from compress.reading.onnx.values import Call, Value, tensor

CONVOLUTIONS: dict[int, Callable[..., torch.Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Callable[..., torch.Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolution(call: Call, value: Value, weight: Value, bias: Value | None = None) -> torch.Tensor:
    """Padding that isn't the same on both sides becomes an operator of its own."""
    values, weights = tensor(value), tensor(weight)
    axes = weights.dim() - 2
    stride, dilation = (list(call.get(name, [1] * axes)) for name in ("strides", "dilations"))
    reach = [(size - 1) * step + 1 for size, step in zip(weights.shape[2:], dilation, strict=True)]
    pads = amounts(call, values, reach, stride)
    even = symmetric(pads)
    if even is None:
        values = F.pad(values, [amount for pair in reversed(pads) for amount in pair])
    terms = None if bias is None else tensor(bias)
    return CONVOLUTIONS[axes](values, weights, terms, stride, even or [0] * axes, dilation, call.get("group", 1))


def transposed_convolution(call: Call, value: Value, weight: Value, bias: Value | None = None) -> torch.Tensor:
    """`output_shape` decides the padding where it is given; what is padded unevenly is cut off the result."""
    values, weights = tensor(value), tensor(weight)
    axes = weights.dim() - 2
    stride, dilation, extra = (
        list(call.get(name, [each] * axes)) for name, each in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    reach = [(size - 1) * step + 1 + more for size, step, more in zip(weights.shape[2:], dilation, extra, strict=True)]
    pads = _transposed_pads(call, values, reach, stride)
    terms = None if bias is None else tensor(bias)
    even = symmetric(pads)
    group = call.get("group", 1)
    if even is not None:
        return TRANSPOSED[axes](values, weights, terms, stride, even, extra, group, dilation)
    whole = TRANSPOSED[axes](values, weights, terms, stride, [0] * axes, extra, group, dilation)
    for axis, (before, after) in enumerate(pads, start=2):
        whole = whole.narrow(axis, before, whole.shape[axis] - before - after)
    return whole


def _transposed_pads(call: Call, values: torch.Tensor, reach: list[int], stride: list[int]) -> list[tuple[int, int]]:
    wanted, mode = call.get("output_shape"), call.get("auto_pad", "NOTSET")
    given = call.get("pads")
    pads = []
    for axis, step in enumerate(stride):
        full = (values.shape[2 + axis] - 1) * step + reach[axis]
        size = wanted[axis] if wanted else values.shape[2 + axis] * step if mode.startswith("SAME") else None
        if size is None:
            pads.append((given[axis], given[axis + len(stride)]) if given else (0, 0))
        else:
            total = max(full - size, 0)
            small, large = total // 2, total - total // 2
            pads.append((large, small) if mode == "SAME_LOWER" else (small, large))
    return pads


def matrix_product(_: Call, one: Value, other: Value) -> torch.Tensor:
    """A product with a matrix of weights is a linear layer."""
    left, right = tensor(one), tensor(other)
    if isinstance(right, torch.nn.Parameter) and right.dim() == 2:
        return F.linear(left, right.t())
    product: torch.Tensor = torch.matmul(left, right)
    return product


def general_product(call: Call, one: Value, other: Value, term: Value | None = None) -> torch.Tensor:
    """alpha * A' * B' + beta * C."""
    left, right = tensor(one), tensor(other)
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    if call.get("transA", 0):
        left = left.t()
    weights = right if call.get("transB", 0) else right.t()
    if alpha == 1.0 and beta == 1.0 and (term is None or tensor(term).dim() == 1):
        return F.linear(left, weights, None if term is None else tensor(term))
    product: torch.Tensor = F.linear(left, weights) * alpha
    return product if term is None else product + tensor(term) * beta


def batch_normalization(call: Call, value: Value, *parameters: Value) -> torch.Tensor:
    """In inference: by the statistics in the file."""
    scale, bias, mean, variance = map(tensor, parameters[:4])
    return F.batch_norm(tensor(value), mean, variance, scale, bias, False, 0.1, call.get("epsilon", 1e-5))


def instance_normalization(call: Call, value: Value, scale: Value, bias: Value) -> torch.Tensor:
    """Over each sample's channels."""
    return F.instance_norm(tensor(value), weight=tensor(scale), bias=tensor(bias), eps=call.get("epsilon", 1e-5))


def layer_normalization(call: Call, value: Value, scale: Value, bias: Value | None = None) -> torch.Tensor:
    """Over the axes from `axis` on."""
    values = tensor(value)
    shape = values.shape[call.get("axis", -1) % values.dim() :]
    terms = None if bias is None else tensor(bias).reshape(shape)
    return F.layer_norm(values, list(shape), tensor(scale).reshape(shape), terms, call.get("epsilon", 1e-5))


def group_normalization(call: Call, value: Value, scale: Value, bias: Value) -> torch.Tensor:
    """Scale and bias count groups before operator set 21 and channels since."""
    values, groups = tensor(value), call.get("num_groups")
    weights, terms = tensor(scale), tensor(bias)
    if call.opset < 21 and len(weights) == groups:
        weights, terms = (each.repeat_interleave(values.shape[1] // groups) for each in (weights, terms))
    return F.group_norm(values, groups, weights, terms, call.get("epsilon", 1e-5))


def local_response(call: Call, value: Value) -> torch.Tensor:
    """Over neighbouring channels."""
    return F.local_response_norm(tensor(value), call.get("size"), call.get("alpha", 1e-4), call.get("beta", 0.75), call.get("bias", 1.0))


OPERATORS: dict[str, Callable[..., Any]] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "MatMul": matrix_product,
    "Gemm": general_product,
    "Einsum": lambda call, *values: torch.einsum(call.get("equation"), *map(tensor, values)),
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
    "GroupNormalization": group_normalization,
    "LRN": local_response,
}
