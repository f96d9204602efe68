"""Normalizations, and the scaling of inputs."""

from typing import Any

import torch
from torch import nn

from compress.reading.keras.layer import Layer, Made, Rule, parameter
from compress.reading.keras.layers.dense import channels_first
from compress.reading.keras.values import FIRST, KERAS, Flat, Value
from compress.reading.modules import Operator

BATCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


class Scaled(nn.Module):
    """(x - mean) * factor, by constants that broadcast."""

    mean: torch.Tensor
    factor: torch.Tensor

    def __init__(self, mean: torch.Tensor, factor: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)

    def forward(self, values: torch.Tensor) -> Any:
        """The layer."""
        return (values - self.mean) * self.factor


class RootMeanSquare(nn.Module):
    """x / sqrt(mean of squares + epsilon) * scale, over the last axes."""

    def __init__(self, scale: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.scale, self.epsilon = parameter(scale), epsilon

    def forward(self, values: torch.Tensor) -> Any:
        """The layer."""
        axes = list(range(-self.scale.dim(), 0))
        return values * torch.rsqrt(values.square().mean(axes, True) + self.epsilon) * self.scale


def batch_normalization(layer: Layer, value: Value) -> Made:
    """BatchNormalization over the last axis, or over axis 1 in networks with channels first."""
    (axis,) = _axes(layer, value)
    last = axis == value.rank - 1
    if value.rank not in BATCH or not (last or axis == 1):
        raise layer.refuse(f"normalizes axis {axis} of {value.rank}; it can be axis 1 or the last")
    size = value.shape[axis]
    present = [bool(layer.get("scale", True)), bool(layer.get("center", True)), True, True]
    places = [sum(present[:index]) for index in range(4)]
    vectors = [layer.weight(place, size) if there else None for place, there in zip(places, present, strict=True)]
    if isinstance(value.layout, Flat):
        vectors = [None if each is None else channels_first(each, value.layout) for each in vectors]
    scale, center, mean, variance = vectors
    module = BATCH[value.rank](size, eps=float(layer.get("epsilon", 1e-3)), momentum=1.0 - float(layer.get("momentum", 0.99)))
    state = {"weight": scale, "bias": center, "running_mean": mean, "running_var": variance}
    module.load_state_dict({name: each for name, each in state.items() if each is not None}, strict=False)
    layout = value.layout if value.rank == 2 else (FIRST if last else KERAS)
    return Made(module, (layout,), (layout,))


def layer_normalization(layer: Layer, value: Value) -> Made:
    """LayerNormalization over the last axes."""
    shape = _trailing(layer, value)
    scaled, centred = bool(layer.get("scale", True)), bool(layer.get("center", True))
    epsilon = float(layer.get("epsilon", 1e-3))
    if layer.get("rms_scaling"):
        return Made(RootMeanSquare(layer.weight(0, *shape), epsilon), (KERAS,), (KERAS,))
    module = nn.LayerNorm(shape, eps=epsilon)
    if not (scaled or centred):
        module = nn.LayerNorm(shape, eps=epsilon, elementwise_affine=False)
    with torch.no_grad():
        if scaled:
            module.weight.copy_(layer.weight(0, *shape))
        if centred:
            module.bias.copy_(layer.weight(int(scaled), *shape))
    return Made(module, (KERAS,), (KERAS,))


def rms_normalization(layer: Layer, value: Value) -> Made:
    """RMSNormalization over the last axes."""
    module = RootMeanSquare(layer.weight(0, *_trailing(layer, value)), float(layer.get("epsilon", 1e-6)))
    return Made(module, (KERAS,), (KERAS,))


def group_normalization(layer: Layer, value: Value) -> Made:
    """GroupNormalization over the last axis; -1 groups are one for each channel."""
    (axis,) = _axes(layer, value)
    if axis not in (1, value.rank - 1):
        raise layer.refuse(f"normalizes axis {axis} of {value.rank}; it can be axis 1 or the last")
    size = value.shape[axis]
    groups = size if layer.get("groups", 32) == -1 else int(layer.get("groups", 32))
    module = nn.GroupNorm(groups, size, eps=float(layer.get("epsilon", 1e-3)))
    with torch.no_grad():
        if layer.get("scale", True):
            module.weight.copy_(layer.weight(0, size))
        if layer.get("center", True):
            module.bias.copy_(layer.weight(int(bool(layer.get("scale", True))), size))
    layout = FIRST if axis == value.rank - 1 else KERAS
    return Made(module, (layout,), (layout,))


class Factors(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = parameter(weight)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The layer."""
        return values * self.weight


def layer_scale(layer: Layer, value: Value) -> Made:
    """LayerScale of keras.applications' ConvNeXt."""
    weight, layout = layer.weight(0, value.shape[-1]), KERAS if isinstance(value.layout, Flat) else value.layout
    first = layout == FIRST and value.rank > 2
    return Made(Factors(weight.reshape(-1, *[1] * (value.rank - 2)) if first else weight), (layout,), (layout,))


def unit_normalization(layer: Layer, value: Value) -> Made:
    """UnitNormalization: length 1 along axes."""
    axes = [value.axis(axis) for axis in _axes(layer, value)]
    layout = KERAS if isinstance(value.layout, Flat) else value.layout

    def compute(values: torch.Tensor) -> torch.Tensor:
        return values * torch.rsqrt(values.square().sum(axes, True).clamp(min=1e-12))

    return Made(Operator(compute), (layout,), (layout,))


def normalization(layer: Layer, value: Value) -> Made:
    """Normalization by means and variances that were adapted (weights) or given."""
    axis = layer.get("axis", -1)
    axes = [each % value.rank for each in (axis if isinstance(axis, list) else [] if axis is None else [axis])]
    if layer.get("mean") is not None:
        mean, variance = (torch.as_tensor(layer.get(key), dtype=torch.float32) for key in ("mean", "variance"))
    else:
        mean, variance = layer.weight(0), layer.weight(1)
    shape = [size if axis in axes else 1 for axis, size in enumerate(value.shape)]
    shape[0] = 1
    if mean.numel() == 1:
        shape = [1] * value.rank
    mean, factor = mean.reshape(shape), 1.0 / variance.reshape(shape).sqrt().clamp(min=1e-7)
    if layer.get("invert"):
        mean, factor = -mean * factor, 1.0 / factor
    return _broadcast(value, mean, factor)


def rescaling(layer: Layer, value: Value) -> Made:
    """Rescaling: x * scale + offset, numbers or one a channel."""
    scale, offset = (torch.as_tensor(layer.get(key, 0.0), dtype=torch.float32).reshape(-1) for key in ("scale", "offset"))
    if scale.numel() == offset.numel() == 1:
        factor, shift = scale.item(), offset.item()
        return Made(Operator(lambda values: values * factor + shift if shift else values * factor), (value.layout,), (value.layout,))
    mean = -offset / scale
    placed = [each.expand(mean.shape).reshape([1] * (value.rank - 1) + [-1]) for each in (mean, scale)]
    return _broadcast(value, *placed)


def _broadcast(value: Value, mean: torch.Tensor, factor: torch.Tensor) -> Made:
    layout = KERAS if isinstance(value.layout, Flat) else value.layout
    first = layout == FIRST and value.rank > 2
    placed = [each.movedim(-1, 1).contiguous() if first else each for each in (mean, factor)]
    return Made(Scaled(*placed), (layout,), (layout,))


def _axes(layer: Layer, value: Value) -> list[int]:
    given: Any = layer.get("axis", -1)
    return sorted(axis % value.rank for axis in (given if isinstance(given, list) else [given]))


def _trailing(layer: Layer, value: Value) -> list[int]:
    axes = _axes(layer, value)
    if axes != list(range(axes[0], value.rank)) or axes[0] == 0:
        raise layer.refuse(f"normalizes axes {axes} of {value.rank}; they can be the last ones")
    return list(value.shape[axes[0] :])


LAYERS: dict[str, Rule] = {
    "BatchNormalization": batch_normalization,
    "BatchNormalizationV1": batch_normalization,
    "SyncBatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "GroupNormalization": group_normalization,
    "UnitNormalization": unit_normalization,
    "LayerScale": layer_scale,
    "Normalization": normalization,
    "Rescaling": rescaling,
}
