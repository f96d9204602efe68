"""The number formats that a layer computes with."""

from dataclasses import dataclass
from typing import Literal

import torch

LayerScheme = Literal["int8", "int16x8", "w4a8", "float"]
"""What a static scheme makes of one layer: activations and weights of 8 bits, 16 and 8, 8 and 4 (`w4a8`), or no integers at all."""


@dataclass(frozen=True)
class Integers:
    """The integers of activations, and the bits of a weight. Weights are symmetric and leave out the lowest integer."""

    dtype: torch.dtype
    lowest: int
    highest: int
    symmetric: bool
    weight_bits: int

    @property
    def levels(self) -> int:
        """How many integers there are for an activation."""
        return self.highest - self.lowest + 1


INTEGERS: dict[str, Integers] = {
    "int8": Integers(torch.int8, -128, 127, symmetric=False, weight_bits=8),
    "int16x8": Integers(torch.int16, -32768, 32767, symmetric=True, weight_bits=8),
    "w4a8": Integers(torch.int8, -128, 127, symmetric=False, weight_bits=4),
}


def largest_weight(bits: int) -> int:
    """The largest integer of a weight: 127 of 8 bits, 7 of 4."""
    return int(2 ** (bits - 1) - 1)
