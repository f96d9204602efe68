"""Windows and resizing, and what is taken over whole axes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from compress.reading import resizing
from compress.reading.onnx.padding import amounts, symmetric
from compress.reading.onnx.values import Call, Value, tensor
from compress.reading.resizing import COORDINATES

MAXIMA: dict[int, Callable[..., torch.Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEANS: dict[int, Callable[..., torch.Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def max_pool(call: Call, value: Value) -> torch.Tensor:
    """Padding never wins."""
    values = tensor(value)
    kernel, stride, dilation, pads = _window(call, values)
    even = symmetric(pads)
    if even is None or any(2 * amount > size for amount, size in zip(even, kernel, strict=True)):
        values = F.pad(values, [amount for pair in reversed(pads) for amount in pair], value=float("-inf"))
        even = [0] * len(kernel)
    return MAXIMA[len(kernel)](values, kernel, stride, even, dilation, bool(call.get("ceil_mode", 0)))


def average_pool(call: Call, value: Value) -> torch.Tensor:
    """`count_include_pad` says whether padding counts."""
    values = tensor(value)
    kernel, stride, _, pads = _window(call, values)
    counted = bool(call.get("count_include_pad", 0))
    even = symmetric(pads)
    pool = MEANS[len(kernel)]
    if even is not None:
        return pool(values, kernel, stride, even, bool(call.get("ceil_mode", 0)), counted)
    flat = [amount for pair in reversed(pads) for amount in pair]
    means = pool(F.pad(values, flat), kernel, stride)
    return means if counted else means / pool(F.pad(torch.ones_like(values), flat), kernel, stride)


def over_all(function: Callable[[torch.Tensor, list[int], bool], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Global pooling keeps the axes."""
    return lambda _, value: function(tensor(value), list(range(2, tensor(value).dim())), True)


def resize(call: Call, value: Value, *given: Value | None) -> torch.Tensor:
    """Nearest, linear and cubic, as torch has them too."""
    values = tensor(value)
    sizes = _sizes(call, values, given)
    old = call.operator == "Upsample" or call.opset < 11
    mode, place = call.get("mode", "nearest"), call.get("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    if place not in COORDINATES or call.get("antialias", 0) or call.get("exclude_outside", 0):
        raise call.refuse(f"{mode} interpolation by '{place}' is not known; export with half_pixel or align_corners")
    if mode == "nearest":
        return resizing.nearest(values, sizes, place, call.get("nearest_mode", "floor" if old else "round_prefer_floor"))
    if mode in ("linear", "bilinear"):
        return resizing.linear(values, sizes, place)
    if place == "asymmetric" or call.get("cubic_coeff_a", -0.75) != -0.75:
        raise call.refuse("places its pixels as torch doesn't; export with half_pixel or align_corners")
    return F.interpolate(values, sizes, mode="bicubic", align_corners=place == "align_corners")


def _sizes(call: Call, values: torch.Tensor, given: tuple[Value | None, ...]) -> list[int]:
    if call.operator == "Upsample" or call.opset < 11:
        scales: Any = given[0] if given else np.asarray(call.get("scales"))
    else:
        wanted = given[2] if len(given) > 2 else None
        if wanted is not None:
            return [int(size) for size in call.sizes(wanted).tolist()[-(values.dim() - 2) :]]
        scales = given[1] if len(given) > 1 else None
    if scales is None:
        raise call.refuse("has neither scales nor sizes")
    factors = call.sizes(scales).tolist()
    return [int(np.floor(size * factor)) for size, factor in zip(values.shape[2:], factors[-(values.dim() - 2) :], strict=True)]


def _window(call: Call, values: torch.Tensor) -> tuple[list[int], list[int], list[int], list[tuple[int, int]]]:
    kernel = list(call.get("kernel_shape"))
    stride, dilation = (list(call.get(name, [1] * len(kernel))) for name in ("strides", "dilations"))
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    return kernel, stride, dilation, amounts(call, values, reach, stride)


def reduction(function: Callable[[torch.Tensor, list[int], bool], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Over given axes, or all; axes are an input in newer operator sets."""

    def compute(call: Call, value: Value, axes: Value | None = None) -> torch.Tensor:
        values = tensor(value)
        given = call.integers("axes", axes)
        if not given:
            if call.get("noop_with_empty_axes", 0):
                return values
            given = list(range(values.dim()))
        return function(values, [axis % values.dim() for axis in given], bool(call.get("keepdims", 1)))

    return compute


def _product(values: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    for axis in sorted(axes, reverse=True):
        values = values.prod(axis, keepdim=keep)
    return values


def _extreme(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda call, value: function(tensor(value), call.get("axis", 0), bool(call.get("keepdims", 1)))


def top(call: Call, value: Value, count: Value) -> list[torch.Tensor]:
    """The largest (or smallest) values of an axis and where they are."""
    found = torch.topk(tensor(value), int(call.sizes(count).item()), call.get("axis", -1), bool(call.get("largest", 1)))
    return list(found)


OPERATORS: dict[str, Callable[..., Any]] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": over_all(lambda values, axes, keep: values.mean(axes, keep)),
    "GlobalMaxPool": over_all(lambda values, axes, keep: values.amax(axes, keep)),
    "Resize": resize,
    "Upsample": resize,
    "ReduceMean": reduction(lambda values, axes, keep: values.mean(axes, keep)),
    "ReduceSum": reduction(lambda values, axes, keep: values.sum(axes, keep)),
    "ReduceMax": reduction(lambda values, axes, keep: values.amax(axes, keep)),
    "ReduceMin": reduction(lambda values, axes, keep: values.amin(axes, keep)),
    "ReduceProd": reduction(_product),
    "ReduceL1": reduction(lambda values, axes, keep: values.abs().sum(axes, keep)),
    "ReduceL2": reduction(lambda values, axes, keep: values.square().sum(axes, keep).sqrt()),
    "ReduceSumSquare": reduction(lambda values, axes, keep: values.square().sum(axes, keep)),
    "ReduceLogSumExp": reduction(torch.logsumexp),
    "ArgMax": _extreme(torch.argmax),
    "ArgMin": _extreme(torch.argmin),
    "TopK": top,
}
