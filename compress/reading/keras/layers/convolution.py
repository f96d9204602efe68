"""Convolutions. Kernels are (window…, in, out) in Keras and (out, in, window…) in torch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from compress.reading.keras.activations import Function, activation
from compress.reading.keras.layer import Layer, Made, Rule, pairs, parameter
from compress.reading.keras.padding import Pads, amounts, flat, symmetric
from compress.reading.keras.values import Value

FORWARD: dict[int, Callable[..., torch.Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Callable[..., torch.Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class Convolution(nn.Module):
    """Pads as far as the convolution can't by itself, convolves [N, C, …] and activates."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activate: Function, **options: Any) -> None:
        super().__init__()
        self.weight, self.bias = parameter(weight), None if bias is None else parameter(bias)
        self.activate = activate
        pads: Pads = options.pop("pads")
        self.pads = [] if symmetric(pads) else flat(pads)
        self.options = {**options, "padding": [0 if self.pads else before for before, _ in pads]}

    def forward(self, values: torch.Tensor) -> Any:
        """The layer."""
        padded = F.pad(values, self.pads) if self.pads else values
        function = FORWARD[self.weight.dim() - 2]
        return self.activate(function(padded, self.weight, self.bias, **self.options))


class TransposedConvolution(nn.Module):
    """Convolves [N, C, …] backwards, cuts off what goes over the wanted size and activates."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activate: Function, sizes: Sequence[int], **options: Any) -> None:
        super().__init__()
        self.weight, self.bias = parameter(weight), None if bias is None else parameter(bias)
        self.activate, self.sizes, self.options = activate, sizes, options

    def forward(self, values: torch.Tensor) -> Any:
        """The layer."""
        made = TRANSPOSED[self.weight.dim() - 2](values, self.weight, self.bias, **self.options)
        for axis, size in enumerate(self.sizes, start=2):
            made = made if made.shape[axis] == size else made[(slice(None),) * axis + (slice(0, size),)]
        return self.activate(made)


class Separable(nn.Module):
    """A convolution of every channel by itself and one of single pixels."""

    def __init__(self, depthwise: Convolution, pointwise: Convolution) -> None:
        super().__init__()
        self.depthwise, self.pointwise = depthwise, pointwise

    def forward(self, values: torch.Tensor) -> Any:
        """The layer."""
        return self.pointwise(self.depthwise(values))


def convolution(axes: int) -> Rule:
    """Conv1D, Conv2D, Conv3D."""

    def build(layer: Layer, value: Value) -> Made:
        kernel = layer.weight(0, *[None] * (axes + 2)).movedim((-1, -2), (0, 1))
        module = _convolution(layer, value, kernel, layer.get("groups") or 1, 1)
        return Made(module, (layer.spatial,), (layer.spatial,))

    return build


def depthwise(axes: int) -> Rule:
    """DepthwiseConv1D and DepthwiseConv2D; Keras 2 writes `groups` into their configurations and ignores it."""

    def build(layer: Layer, value: Value) -> Made:
        module = _convolution(layer, value, _of_each_channel(layer, axes), _channels(layer, value), 1)
        return Made(module, (layer.spatial,), (layer.spatial,))

    return build


def separable(axes: int) -> Rule:
    """SeparableConv1D and SeparableConv2D."""

    def build(layer: Layer, value: Value) -> Made:
        first = _convolution(layer, value, _of_each_channel(layer, axes), _channels(layer, value), None)
        kernel = layer.weight(1, *[None] * (axes + 2)).movedim((-1, -2), (0, 1))
        bias = layer.weight(2, kernel.shape[0]) if layer.get("use_bias", True) else None
        pointwise = Convolution(kernel, bias, activation(layer, axis=1), pads=[(0, 0)] * axes)
        return Made(Separable(first, pointwise), (layer.spatial,), (layer.spatial,))

    return build


def transposed(axes: int) -> Rule:
    """Conv1DTranspose, Conv2DTranspose, Conv3DTranspose: as large as TensorFlow makes them."""

    def build(layer: Layer, value: Value) -> Made:
        kernel = layer.weight(0, *[None] * (axes + 2)).movedim((-1, -2), (0, 1))
        bias = layer.weight(1, kernel.shape[1]) if layer.get("use_bias", True) else None
        stride, dilation = pairs(layer.get("strides", 1), axes), pairs(layer.get("dilation_rate", 1), axes)
        if layer.get("output_padding") is not None:
            raise layer.refuse("has output_padding; leave it out and crop or pad behind the layer")
        before, behind, sizes = [], [], []
        for size, window, step, apart in zip(_spatial(layer, value), kernel.shape[2:], stride, dilation, strict=True):
            reach = (window - 1) * apart + 1
            same = str(layer.get("padding", "valid")).lower() == "same"
            before.append(max(reach - step, 0) // 2 if same else 0)
            behind.append(max(step - reach, 0))
            sizes.append(size * step if same else size * step + max(reach - step, 0))
        options = {"stride": stride, "padding": before, "output_padding": behind, "dilation": dilation}
        module = TransposedConvolution(kernel, bias, activation(layer, axis=1), sizes, **options)
        return Made(module, (layer.spatial,), (layer.spatial,))

    return build


def _convolution(layer: Layer, value: Value, kernel: torch.Tensor, groups: int, bias_at: int | None) -> Convolution:
    """`bias_at` None: neither bias nor activation, which belong to what follows."""
    axes = kernel.dim() - 2
    stride, dilation = pairs(layer.get("strides", 1), axes), pairs(layer.get("dilation_rate", 1), axes)
    reach = [(size - 1) * apart + 1 for size, apart in zip(kernel.shape[2:], dilation, strict=True)]
    pads = amounts(layer, _spatial(layer, value), reach, stride)
    has_bias = bias_at is not None and layer.get("use_bias", True)
    bias = layer.weight(1, kernel.shape[0]) if has_bias else None
    function = (lambda values: values) if bias_at is None else activation(layer, axis=1)
    return Convolution(kernel, bias, function, stride=stride, dilation=dilation, groups=groups, pads=pads)


def _of_each_channel(layer: Layer, axes: int) -> torch.Tensor:
    """(window…, channels, multiplier) as (channels * multiplier, 1, window…)."""
    kernel = layer.weight(0, *[None] * (axes + 2)).movedim((-2, -1), (0, 1))
    return kernel.reshape(-1, 1, *kernel.shape[2:])


def _spatial(layer: Layer, value: Value) -> tuple[int, ...]:
    return value.shape[2:] if layer.channels_first else value.shape[1:-1]


def _channels(layer: Layer, value: Value) -> int:
    return value.shape[1] if layer.channels_first else value.shape[-1]


LAYERS: dict[str, Rule] = {
    **{f"Conv{axes}D": convolution(axes) for axes in (1, 2, 3)},
    **{f"Convolution{axes}D": convolution(axes) for axes in (1, 2, 3)},
    **{f"Conv{axes}DTranspose": transposed(axes) for axes in (1, 2, 3)},
    **{f"DepthwiseConv{axes}D": depthwise(axes) for axes in (1, 2)},
    **{f"SeparableConv{axes}D": separable(axes) for axes in (1, 2)},
}
