"""The integers of a layer's weights that give its outputs back best, in closed form from the second moments of its inputs.

With C the covariance of the inputs, weights w and integers q (times their scales), the error of an output is (w - q) C (w - q) plus what
the bias can't take away. The real weights are first moved to the ridge regression of the float network's outputs on the inputs as the
quantized network has them (asymmetric, as in Nagel et al. 2020, https://arxiv.org/abs/2004.10568). Then they are rounded one input after
the other, each error made up for by the inputs to come (optimal brain surgery: GPTQ, Frantar et al. 2022,
https://arxiv.org/abs/2210.17323). At last each integer is set to the best one given all the others, a few times over (coordinate
descent: QuantEase, Behdin et al. 2023, https://arxiv.org/abs/2309.01885). All that can be done for several scales at once, of which
each output channel takes its best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

RIDGE = 1.0
"""Holds the real weights where they were, relative to the inputs' mean variance: inputs of 200 samples say little about rare directions."""
DAMPING = 0.01
"""Added to the covariance for rounding, relative to its mean diagonal, as in GPTQ."""
SWEEPS = 3


@dataclass
class Moments:
    """What is known of a layer's inputs [groups, rows, K] and the outputs [groups, rows, M] that it should give."""

    rows: int = 0
    squares: Any = field(default=0.0)
    products: Any = field(default=0.0)
    input_sum: Any = field(default=0.0)
    output_sum: Any = field(default=0.0)
    output_squares: Any = field(default=0.0)

    def add(self, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
        """One batch, float32."""
        self.rows += inputs.shape[1]
        self.squares = self.squares + (inputs.transpose(1, 2) @ inputs).double()
        self.products = self.products + (inputs.transpose(1, 2) @ outputs).double()
        self.input_sum = self.input_sum + inputs.sum(1, keepdim=True).double()
        self.output_sum = self.output_sum + outputs.sum(1, keepdim=True).double()
        self.output_squares = self.output_squares + outputs.double().square().sum(1, keepdim=True)

    @property
    def covariance(self) -> torch.Tensor:
        """Of the inputs, [groups, K, K]."""
        centred: torch.Tensor = self.squares / self.rows - self.input_sum.transpose(1, 2) @ self.input_sum / self.rows**2
        return centred

    @property
    def shared(self) -> torch.Tensor:
        """Covariance of inputs and outputs, [groups, K, M]."""
        centred: torch.Tensor = self.products / self.rows - self.input_sum.transpose(1, 2) @ self.output_sum / self.rows**2
        return centred

    def shift(self, weights: torch.Tensor) -> torch.Tensor:
        """The bias [groups, M] with which weights [groups, M, K] have the outputs' means."""
        means: torch.Tensor = (self.output_sum - self.input_sum @ weights.transpose(1, 2))[:, 0] / self.rows
        return means

    def error(self, weights: torch.Tensor, bias: torch.Tensor) -> float:
        """How far outputs are off: root of the mean square over that of the outputs, which are centred."""
        variance = self.output_squares[:, 0] / self.rows - (self.output_sum[:, 0] / self.rows).square()
        explained = 2 * (weights * self.shared.transpose(1, 2)).sum(2) - ((weights @ self.covariance) * weights).sum(2)
        left = variance - explained + (self.shift(weights) - bias).square()
        return float((left.clamp(min=0).sum() / variance.sum().clamp(min=1e-30)).sqrt())


def solve(
    moments: Moments, weights: torch.Tensor, scales: torch.Tensor, limits: tuple[int, int], multiples: Sequence[float] = (1.0,)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers (as float64) from `limits` for weights [groups, M, K], float64, and their scales [groups, M, 1].

    Weights that are exactly zero, as pruning leaves them, stay so. Each output channel has that of the `multiples` of its scale that
    leaves the smallest error, the first of equal ones.
    """
    covariance = moments.covariance
    held = covariance + _diagonal(covariance, RIDGE)
    missing = moments.shared - covariance @ weights.transpose(1, 2)
    wanted = weights + torch.linalg.solve(held, missing).transpose(1, 2)
    damped = covariance + _diagonal(covariance, DAMPING)
    if len(multiples) > 1:
        tried = torch.stack([scales * multiple for multiple in multiples], 1)
        scales = _best_scales(Rounding(wanted, weights != 0, damped, limits), tried)
    return Rounding(wanted, weights != 0, damped, limits).integers(scales), scales


def _best_scales(rounding: "Rounding", tried: torch.Tensor) -> torch.Tensor:
    """Of scales [groups, multiples, M, 1] those of least error, [groups, M, 1], as rounding without the costly descent shows it."""
    groups, multiples, channels, _ = tried.shape
    wanted, scales = rounding.weights.repeat(1, multiples, 1), tried.flatten(1, 2)
    several = Rounding(wanted, rounding.free.repeat(1, multiples, 1), rounding.covariance, rounding.limits)
    left = wanted - several.integers(scales, sweeps=0) * scales
    errors = ((left @ rounding.covariance) * left).sum(2).reshape(groups, multiples, channels)
    return tried.gather(1, errors.argmin(1)[:, None, :, None])[:, 0]


@dataclass(frozen=True)
class Rounding:
    """Weights [groups, M, K], float64, to be rounded where they are `free` (the others to zero) to integers between the limits.

    `covariance` [groups, K, K] is that of their inputs, positive definite.
    """

    weights: torch.Tensor
    free: torch.Tensor
    covariance: torch.Tensor
    limits: tuple[int, int]

    def integers(self, scales: torch.Tensor, sweeps: int = SWEEPS) -> torch.Tensor:
        """As float64, for scales [groups, M, 1]; the inputs of the largest variance are rounded first."""
        order = self.covariance.diagonal(dim1=1, dim2=2).argsort(1, descending=True)
        columns = order[:, None].expand_as(self.weights)
        steps, free = (self.weights / scales).gather(2, columns), self.free.gather(2, columns)
        square = order[:, None].expand_as(self.covariance)
        covariance = self.covariance.gather(1, square.transpose(1, 2)).gather(2, square)
        found = _one_by_one(steps.clone(), free, covariance, self.limits)
        _descend(found, steps, free, covariance, self.limits, sweeps)
        return found.gather(2, order.argsort(1)[:, None].expand_as(self.weights))


def _diagonal(covariance: torch.Tensor, share: float) -> torch.Tensor:
    means = covariance.diagonal(dim1=1, dim2=2).mean(1) * share + 1e-12
    return means[:, None, None] * torch.eye(covariance.shape[1], dtype=covariance.dtype)


def _one_by_one(steps: torch.Tensor, free: torch.Tensor, covariance: torch.Tensor, limits: tuple[int, int]) -> torch.Tensor:
    """Rounds one input after the other and moves those to come, in place of `steps`; gives the integers."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    factor = torch.linalg.cholesky(inverse, upper=True)
    integers = torch.empty_like(steps)
    for place in range(steps.shape[2]):
        integers[:, :, place] = steps[:, :, place].round().clamp(*limits) * free[:, :, place]
        error = (steps[:, :, place] - integers[:, :, place]) / factor[:, place, place, None]
        steps[:, :, place + 1 :] -= error[:, :, None] * factor[:, place, None, place + 1 :]
    return integers


def _descend(  # noqa: PLR0913, PLR0917  one loop over what `Rounding` holds
    integers: torch.Tensor, steps: torch.Tensor, free: torch.Tensor, covariance: torch.Tensor, limits: tuple[int, int], sweeps: int
) -> None:
    """Sets each integer to the best one given the others, in place, a few times over."""
    slopes = (steps - integers) @ covariance
    for _ in range(sweeps):
        for place in range(steps.shape[2]):
            now = integers[:, :, place]
            best = (now + slopes[:, :, place] / covariance[:, place, place, None]).round().clamp(*limits) * free[:, :, place]
            slopes -= (best - now)[:, :, None] * covariance[:, place, None, :]
            integers[:, :, place] = best
