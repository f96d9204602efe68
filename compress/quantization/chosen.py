"""What an engine other than our own has decided about a float graph, by the names of the graph's nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from compress.quantization.plan import Group


@dataclass(frozen=True, eq=False)
class Weights:
    """A layer's weights: `values`, float32 in the layer's shape, are integers times `scales`, float32 [channels] or [channels, blocks]."""

    values: torch.Tensor
    scales: torch.Tensor


@dataclass(frozen=True)
class Chosen:
    """Ranges of values (lowest and highest real number) and weights of layers; what isn't named is left to us."""

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)

    def range_of(self, group: Group) -> tuple[float, float] | None:
        """The range that covers all that was chosen for a group's values; None where the specification or nobody has chosen."""
        found = [self.ranges[value.name] for value in group.values if value.name in self.ranges]
        return (min(low for low, _ in found), max(high for _, high in found)) if found and group.fixed is None else None


NOTHING = Chosen()
