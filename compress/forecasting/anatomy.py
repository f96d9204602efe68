"""What of a network's weights a file can save on: their shapes, their zeros, their equal values."""

from dataclasses import dataclass

import torch

from compress.model import Model

LOOKED_AT = 4096
"""Of each weight, so many numbers are told apart."""
SPARSE, REPEATED = 0.02, 0.5
"""More zeros than this share, fewer different numbers than this share: somebody wanted it so."""


@dataclass(frozen=True)
class Anatomy:
    """Of the weights with two axes or more: shapes and dtypes, and the shares of zeros and, of the rest, of different numbers."""

    shapes: tuple[tuple[str, tuple[int, ...], torch.dtype], ...]
    zeros: float
    different: float

    @classmethod
    def of(cls, model: Model) -> "Anatomy":
        """That of a network, float or quantized."""
        state = {name: tensor for name, tensor in sorted(model.graph.state_dict().items()) if tensor.ndim > 1}
        weights = list(state.values())
        numbers = max(1, sum(weight.numel() for weight in weights))
        seen = [weight.flatten()[:LOOKED_AT] for weight in weights]
        nonzero = [part[part != 0] for part in seen]
        return cls(
            tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()),
            sum(int((weight == 0).sum()) for weight in weights) / numbers,
            sum(part.unique().numel() for part in nonzero) / max(1, sum(part.numel() for part in nonzero)),
        )

    @property
    def sparse(self) -> bool:
        """Whether zeros were made."""
        return self.zeros > SPARSE

    @property
    def repeated(self) -> bool:
        """Whether weights have few different numbers."""
        return self.different < REPEATED

    def changed(self, before: "Anatomy") -> bool:
        """Whether a file can be smaller or faster than that of the network before."""
        more_zeros = self.sparse and self.zeros > before.zeros + SPARSE
        return self.shapes != before.shapes or more_zeros or (self.repeated and not before.repeated)

    def lost(self, before: "Anatomy") -> str | None:
        """What the network before had and this one hasn't any more."""
        if before.sparse and self.zeros < before.zeros / 2:
            return f"zeros: {before.zeros:.0%} of the weights were zero, {self.zeros:.0%} are"
        if before.repeated and not self.repeated:
            return f"equal weights: {before.different:.1%} of the numbers were different, {self.different:.0%} are"
        return None
