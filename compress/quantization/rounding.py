"""How weights become integers: to the nearest, or so that their errors cancel.

The errors of nearest rounding add up wherever a layer's inputs go together, as neighbouring pixels and what comes out of a relu do.
Balanced rounding (SQuant, Guo et al. 2022, https://arxiv.org/abs/2202.07471) sends those few weights the other way that were nearly
halfway, until the errors of each kernel, and then of each output channel, sum to half a step at most. It needs no data.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators of quantized graphs

Rounding = Callable[[torch.Tensor, torch.Tensor, int, int], torch.Tensor]
"""From weights, the scales of their output channels (float32 [channels]), the axis that counts those and the largest integer to int8."""

WeightRounding = Literal["balanced", "nearest"]


def nearest(values: torch.Tensor, scales: torch.Tensor, channel_axis: int, limit: int, dtype: torch.dtype = torch.int8) -> torch.Tensor:
    """Each number by itself, halves to even."""
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    kind = (channel_axis, -limit, limit, dtype)
    integers: torch.Tensor = torch.ops.quantized_decomposed.quantize_per_channel.default(values, scales, zeros, *kind)
    return integers


def balanced(weights: torch.Tensor, scales: torch.Tensor, channel_axis: int, limit: int) -> torch.Tensor:
    """Each weight up or down, so that the errors of a kernel and of an output channel cancel."""
    rows = weights.detach().transpose(0, channel_axis)
    steps = rows.flatten(2) if rows.dim() > 2 else rows[..., None]
    steps = steps / scales.reshape(-1, 1, 1)
    integers = steps.round().clamp(-limit, limit)
    if steps.shape[2] > 1:
        integers = _balance_kernels(steps, integers, limit)
    integers = _balance_channels(steps, integers, limit)
    return integers.to(torch.int8).reshape(rows.shape).transpose(0, channel_axis).contiguous()


def _balance_kernels(steps: torch.Tensor, integers: torch.Tensor, limit: int) -> torch.Tensor:
    total = (integers - steps).sum(-1, keepdim=True)
    gains = _gains(steps, integers, total.sign(), limit)
    return integers - total.sign() * (_ranks(gains) < total.abs().round()) * (gains > 0)


def _balance_channels(steps: torch.Tensor, integers: torch.Tensor, limit: int) -> torch.Tensor:
    """At most one weight of a kernel, those of the kernels that are farthest off on the channel's side."""
    kernels = (integers - steps).sum(-1)
    total = kernels.sum(-1, keepdim=True)
    gains = _gains(steps, integers, total.sign()[..., None], limit)
    kernel_gains = torch.where(gains.amax(-1) > 0, kernels * total.sign(), -torch.inf)
    chosen = (_ranks(kernel_gains) < total.abs().round()) & (kernel_gains > -torch.inf)
    turned = torch.zeros_like(integers).scatter_(-1, gains.argmax(-1, keepdim=True), 1.0)
    return integers - total.sign()[..., None] * turned * chosen[..., None]


def _gains(steps: torch.Tensor, integers: torch.Tensor, sign: torch.Tensor, limit: int) -> torch.Tensor:
    """The error of each weight on one side, in steps: how little it costs to turn it. -inf for what is, or would be, out of range."""
    fits = (steps.abs() <= limit) & ((integers - sign).abs() <= limit)
    return torch.where(fits, (integers - steps) * sign, -torch.inf)


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """The place of each value of the last axis when they are sorted, the largest first."""
    return values.argsort(-1, descending=True).argsort(-1)


ROUNDINGS: dict[WeightRounding, Rounding] = {"balanced": balanced, "nearest": nearest}
