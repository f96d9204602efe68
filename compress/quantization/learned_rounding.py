"""Rounding that scales learn through: what the nodes of a fake-quantized graph compute, forwards and backwards."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from compress.lowering import batchnorm
from compress.quantization.parameters import INT32_LIMIT

Integers = tuple[int, int, int]
"""Zero point, lowest and highest integer."""

Norm = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None, float]
"""A BatchNorm: remembered mean and variance, weight and bias (float32 [channels], all), and epsilon."""

SMALLEST_FACTOR = 1e-12
"""Nothing is divided by less: a BatchNorm may have switched a channel off."""


def fake_quantize(values: torch.Tensor, scale: torch.Tensor, integers: Integers, axis: int | None = None) -> torch.Tensor:
    """The real numbers that the values' integers stand for, float32 in the values' shape, bit for bit as after conversion.

    `scale` is one number, or float32 [channels] along `axis`. Backwards as Esser et al. 2020 (LSQ) have it: values inside the range
    get the gradient as it is, a scale what follows from rounding and clipping, divided by sqrt(values of a sample x largest integer).
    """
    return _fake_quantize(values, scale, integers, axis)


def round_bias(bias: torch.Tensor, weight_scale: torch.Tensor, input_scale: torch.Tensor) -> torch.Tensor:
    """A bias, float32 [channels], as int32 numbers at the scale of input times weights give it. The scales learn nothing from it."""
    return _fake_quantize(bias, (weight_scale * input_scale).detach(), (0, -INT32_LIMIT, INT32_LIMIT), 0)


def positive(logarithm: torch.Tensor) -> torch.Tensor:
    """A learned scale of its logarithm, which keeps it above 0 and lets one learning rate suit all sizes (Jain et al. 2020).

    The gradient is that by which descent changes a scale by the same share as it would if it were learned itself.
    """
    return _positive(logarithm)


def folded_norm(weight: torch.Tensor, bias: torch.Tensor | None, norm: Norm, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's weight and bias with the BatchNorm after it folded in by its remembered statistics, bit for bit as `batchnorm.fold`."""
    return batchnorm.folded(weight, bias, axis, *batchnorm.scale_and_shift(*norm))


def renormalized(
    outputs: torch.Tensor, biases: tuple[torch.Tensor, torch.Tensor | None], norm: Norm, momentum: float, *, training: bool
) -> torch.Tensor:
    """What a layer into which a BatchNorm is folded gives, [N, channels, …]: as it is in inference, by the batch's statistics in training.

    `biases` are the folded one and the layer's own. The weights that were rounded are those folded by remembered statistics in
    either case, so that they don't jitter from batch to batch (Krishnamoorthi 2018, section 3.2.2).
    """
    if not training:
        return outputs
    mean, variance, factor, term, epsilon = norm
    channels = [1, -1] + [1] * (outputs.dim() - 2)
    scale, _ = batchnorm.scale_and_shift(*norm)
    divisor = torch.where(scale.abs() < SMALLEST_FACTOR, SMALLEST_FACTOR, scale).float()
    folded, own = biases
    before = (outputs - folded.reshape(channels)) / divisor.reshape(channels)
    if own is not None:
        before = before + own.reshape(channels)
    return F.batch_norm(before, mean, variance, factor, term, training=True, momentum=momentum, eps=epsilon)


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, scale: torch.Tensor, integers: Integers, axis: int | None) -> Any:
        ctx.save_for_backward(values, scale)
        ctx.integers, ctx.axis = integers, axis
        zero_point, lowest, highest = integers
        each = _along(scale, axis, values)
        whole = (values * (1.0 / each)).round_().add_(zero_point).clamp_(lowest, highest)
        return whole.sub_(zero_point).mul_(each)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        values, scale = ctx.saved_tensors
        zero_point, lowest, highest = ctx.integers
        steps = values * (1.0 / _along(scale, ctx.axis, values))
        whole = steps.round().add_(zero_point)
        clipped = whole.clamp(lowest, highest)
        inside = whole == clipped
        for_scale = None
        if ctx.needs_input_grad[1]:
            change = clipped.sub_(zero_point).sub_(steps.mul_(inside)).mul_(gradients[0])
            size = values.shape[1:].numel() if ctx.axis is None else values.numel() / values.shape[ctx.axis]
            share = 1 / math.sqrt(size * max(highest - zero_point, zero_point - lowest))
            for_scale = share * (change.sum() if ctx.axis is None else change.transpose(0, ctx.axis).flatten(1).sum(1))
        return gradients[0] * inside, for_scale, None, None


class _Positive(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logarithm: torch.Tensor) -> Any:
        scale = logarithm.exp()
        ctx.save_for_backward(scale)
        return scale

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (scale,) = ctx.saved_tensors
        return gradients[0] / scale


def _along(scale: torch.Tensor, axis: int | None, values: torch.Tensor) -> torch.Tensor:
    """Scales in a shape that multiplies the values."""
    return scale if axis is None else scale.reshape([-1 if other == axis else 1 for other in range(values.dim())])


_fake_quantize: Callable[..., torch.Tensor] = _FakeQuantize.apply
_positive: Callable[[torch.Tensor], torch.Tensor] = _Positive.apply
