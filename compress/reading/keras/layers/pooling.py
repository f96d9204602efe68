"""Pools. `same` padding takes no part in a maximum or a mean."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from compress.reading.keras.layer import Layer, Made, Rule, pairs
from compress.reading.keras.padding import Pads, amounts, flat, symmetric
from compress.reading.keras.values import FIRST, KERAS, Value
from compress.reading.modules import Operator

Pool = Callable[..., torch.Tensor]
LARGEST: dict[int, Pool] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN: dict[int, Pool] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class Pooling(nn.Module):
    """A window's largest number or mean [N, C, …]. A window that only goes over the end is torch's `ceil_mode`."""

    share: torch.Tensor

    def __init__(self, function: Pool, window: tuple[int, ...], stride: tuple[int, ...], pads: Pads, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.function, self.mean = function, function in MEAN.values()
        self.options: dict[str, Any] = {"kernel_size": window, "stride": stride}
        self.pads: list[int] = []
        if symmetric(pads):
            self.options["padding"] = [before for before, _ in pads]
            if self.mean and any(self.options["padding"]):
                self.options["count_include_pad"] = False
        elif all(before == 0 and after < step for (before, after), step in zip(pads, stride, strict=True)):
            self.options["ceil_mode"] = True
        else:
            self.pads = flat(pads)
        if self.pads and self.mean:
            inside = F.pad(torch.ones(1, 1, *sizes), self.pads)
            self.register_buffer("share", 1.0 / function(inside, **self.options))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The layer."""
        if not self.pads:
            return self.function(values, **self.options)
        if self.mean:
            return self.function(F.pad(values, self.pads), **self.options) * self.share
        return self.function(F.pad(values, self.pads, value=float("-inf")), **self.options)


def pool(functions: dict[int, Pool], axes: int) -> Rule:
    """MaxPooling and AveragePooling of one, two or three axes."""

    def build(layer: Layer, value: Value) -> Made:
        window = pairs(layer.get("pool_size", layer.get("pool_length", 2)), axes)
        stride = pairs(layer.get("strides") or window, axes)
        sizes = value.shape[2:] if layer.channels_first else value.shape[1:-1]
        if math.prod(sizes) > 2**24:
            raise layer.refuse(f"pools an image of {sizes}, larger than any network takes")
        module = Pooling(functions[axes], window, stride, amounts(layer, sizes, window, stride), sizes)
        return Made(module, (layer.spatial,), (layer.spatial,))

    return build


def whole(function: Callable[..., torch.Tensor]) -> Rule:
    """The global pools; what they leave is a vector, or with `keepdims` an image of one pixel."""

    def build(layer: Layer, value: Value) -> Made:
        layout = KERAS if layer.channels_first or value.layout == KERAS else FIRST
        last = layout == KERAS and not layer.channels_first
        axes = list(range(1, value.rank - 1) if last else range(2, value.rank))
        keep = bool(layer.get("keepdims", False))
        return Made(Operator(lambda values: function(values, axes, keep)), (layout,), (layout if keep else KERAS,))

    return build


def adaptive(functions: dict[int, Pool], axes: int) -> Rule:
    """AdaptiveMaxPooling and AdaptiveAveragePooling."""

    def build(layer: Layer, _: Value) -> Made:
        size = pairs(layer.get("output_size"), axes)
        return Made(Operator(lambda values: functions[axes](values, size)), (layer.spatial,), (layer.spatial,))

    return build


ADAPTIVE_LARGEST: dict[int, Pool] = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
ADAPTIVE_MEAN: dict[int, Pool] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
LAYERS: dict[str, Rule] = {
    **{f"MaxPooling{axes}D": pool(LARGEST, axes) for axes in (1, 2, 3)},
    **{f"AveragePooling{axes}D": pool(MEAN, axes) for axes in (1, 2, 3)},
    **{f"GlobalMaxPooling{axes}D": whole(torch.amax) for axes in (1, 2, 3)},
    **{f"GlobalAveragePooling{axes}D": whole(torch.mean) for axes in (1, 2, 3)},
    **{f"AdaptiveMaxPooling{axes}D": adaptive(ADAPTIVE_LARGEST, axes) for axes in (1, 2, 3)},
    **{f"AdaptiveAveragePooling{axes}D": adaptive(ADAPTIVE_MEAN, axes) for axes in (1, 2, 3)},
}
