"""Scales and zero points: of activations from what was seen, of weights from the weights, of biases from both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from compress.quantization.operators import Rule
from compress.quantization.plan import Group, Plan
from compress.quantization.ranges import Histogram, merged, observer
from compress.quantization.schemes import Integers, largest_weight
from targets.errors import UserError

SMALLEST_SCALE = 1e-9
"""A tensor that is always zero still needs a scale."""
INT32_LIMIT = 2**31 - 129
"""The largest int32 that float32 holds without rounding up past the end."""

WeightObserver = Literal["minmax", "mse"]
Granularity = Literal["channel", "tensor"]
"""Whether each output channel of a layer's weights has a scale of its own, or all have one."""


@dataclass(frozen=True)
class Affine:
    """real = (integer - zero_point) * scale, integers from `integers.lowest` to `integers.highest`."""

    scale: float
    zero_point: int
    integers: Integers


def activation_parameters(plan: Plan, seen: Mapping[str, Histogram], method: str) -> dict[Group, Affine]:
    """The parameters of each group, the range of those that aren't fixed chosen by the observer `method`.

    Raises UserError where nothing was seen.
    """
    choose = observer(method)
    found: dict[Group, Affine] = {}
    for group in plan.groups:
        if group.fixed is not None:
            found[group] = fixed(group.fixed, group.integers)
            continue
        together = merged([seen[value.name] for value in group.values])
        if together.batches == 0:
            raise UserError("quantize: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
        found[group] = from_range(*choose(together, group.integers.levels), group.integers)
    return found


def from_range(low: float, high: float, integers: Integers) -> Affine:
    """The parameters that cover low to high, which holds zero."""
    if integers.symmetric:
        return Affine(_float32(max(-low, high) / integers.highest), 0, integers)
    scale = _float32((high - low) / (integers.levels - 1))
    zero_point = int(np.clip(round(integers.lowest - low / scale), integers.lowest, integers.highest))
    return Affine(scale, zero_point, integers)


def fixed(rule: Rule, integers: Integers) -> Affine:
    """The parameters that the specification gives an operator's output."""
    if integers.symmetric:
        return Affine(max(-rule.lowest, rule.highest) / integers.levels * 2, 0, integers)
    scale = (rule.highest - rule.lowest) / integers.levels
    return Affine(scale, round(integers.lowest - rule.lowest / scale), integers)


def weight_scales(
    weights: torch.Tensor, channel_axis: int, bits: int, method: WeightObserver, granularity: Granularity = "channel"
) -> torch.Tensor:
    """A symmetric scale for each output channel, float32 [channels]: of the largest weight, or of the smallest squared error.

    With granularity `tensor` all channels have the same scale.
    """
    if granularity == "tensor":
        return weight_scales(weights.reshape(1, -1), 0, bits, method).repeat(weights.shape[channel_axis])
    rows = weights.detach().transpose(0, channel_axis).flatten(1)
    limit = largest_weight(bits)
    largest = (rows.abs().amax(1) / limit).clamp(min=SMALLEST_SCALE)
    if method == "minmax":
        return largest
    best = torch.full_like(largest, torch.inf)
    chosen = largest
    for share in torch.linspace(1.0, 0.6 if bits == 8 else 0.3, 41):
        scales = largest * share
        rounded = (rows / scales[:, None]).round().clamp(-limit, limit) * scales[:, None]
        error = (rounded - rows).square().sum(1)
        chosen = torch.where(error < best, scales, chosen)
        best = torch.minimum(error, best)
    return chosen


def with_room_for_bias(scales: torch.Tensor, bias: torch.Tensor, source: Affine) -> torch.Tensor:
    """Scales of weights that are large enough for the bias, whose integers stand for input times weights, to fit int32.

    It takes a quarter of int32 at most: sums of inputs times weights come on top.
    """
    return torch.maximum(scales, bias.detach().abs() / (source.scale * (INT32_LIMIT // 4)))


def _float32(scale: float) -> float:
    return float(np.float32(max(scale, SMALLEST_SCALE)))
