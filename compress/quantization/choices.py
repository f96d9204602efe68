"""Weights that are one of two integers each."""

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True, eq=False)
class Choices:
    """Weights [channels, …], each the lower or, where `higher`, the next integer times `scales`; zero where not `free`."""

    lower: torch.Tensor
    higher: torch.Tensor
    free: torch.Tensor
    scales: torch.Tensor

    @classmethod
    def around(cls, integers: torch.Tensor, real: torch.Tensor, scales: torch.Tensor, limits: tuple[int, int]) -> "Choices":
        """Those that are `integers` by now; the other choice lies on the side of the `real` weights. `scales` broadcast."""
        now = integers.float()
        lower = torch.where(real / scales >= now, now, now - 1).clamp(limits[0], limits[1] - 1)
        return cls(lower, now > lower, real != 0, scales)

    def values(self) -> torch.Tensor:
        """The weights, float32."""
        return self.integers() * self.scales

    def integers(self) -> torch.Tensor:
        """Theirs, int8."""
        return torch.where(self.free, self.lower + self.higher, 0.0).to(torch.int8)

    def gains(self, slopes: torch.Tensor, curvatures: torch.Tensor) -> torch.Tensor:
        """What a loss of these derivatives would lose if each weight alone changed over; nothing for those that aren't free."""
        change = torch.where(self.higher, -self.scales, self.scales)
        return torch.where(self.free, -slopes * change - curvatures * change.square() / 2, 0.0)

    def changed(self, places: torch.Tensor) -> "Choices":
        """The same with some weights changed over."""
        return replace(self, higher=self.higher ^ places)
