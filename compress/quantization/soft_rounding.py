"""Weights between two integers each, until a loss has decided for one (Nagel et al. 2020, https://arxiv.org/abs/2004.10568)."""

from dataclasses import dataclass

import torch

LOWEST, HIGHEST = -0.1, 1.1
"""The sigmoid is stretched to these ends and cut to 0 and 1, so that it reaches both."""
NEAREST_HALF = 0.05
"""A weight starts no nearer than this to the middle, on the side of the integer that it has."""


@dataclass(frozen=True, eq=False)
class SoftWeights:
    """Real weights [channels, …] that may be the lower or the higher of two integers, which `logits` learn; zeros stay where not `free`."""

    lower: torch.Tensor
    free: torch.Tensor
    scales: torch.Tensor
    logits: torch.Tensor

    @classmethod
    def around(cls, integers: torch.Tensor, real: torch.Tensor, scales: torch.Tensor, limits: tuple[int, int]) -> "SoftWeights":
        """Those that are `integers` when rounded at once; the other choice lies on the side of the `real` weights. `scales` broadcast."""
        now, steps = integers.float(), real.float() / scales
        lower = torch.where(steps >= now, now, now - 1).clamp(limits[0], limits[1] - 1)
        ends = (0.0, 0.5 - NEAREST_HALF), (0.5 + NEAREST_HALF, 1.0)
        share = torch.where(now == lower, (steps - lower).clamp(*ends[0]), (steps - lower).clamp(*ends[1]))
        logits = torch.logit((share - LOWEST) / (HIGHEST - LOWEST))
        return cls(lower, real != 0, scales, logits.requires_grad_())

    def values(self) -> torch.Tensor:
        """The weights as they are between the integers, float32."""
        return torch.where(self.free, self.lower + self._share(), 0.0) * self.scales

    def integers(self) -> torch.Tensor:
        """The integers that they are nearer to, int8."""
        return torch.where(self.free, self.lower + (self.logits.detach() >= 0), 0.0).to(torch.int8)

    def indecision(self, sharpness: float) -> torch.Tensor:
        """The mean over weights of 1 - |2 share - 1| ** sharpness: 0 where all are integers."""
        return (1 - (2 * self._share() - 1).abs() ** sharpness)[self.free].sum() / max(1, self.free.numel())

    def _share(self) -> torch.Tensor:
        return (torch.sigmoid(self.logits) * (HIGHEST - LOWEST) + LOWEST).clamp(0, 1)
