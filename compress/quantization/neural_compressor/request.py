"""What is wanted of an algorithm that chooses weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Samples = Sequence[tuple[torch.Tensor, ...]]
"""Batches of calibration inputs."""


@dataclass(frozen=True, eq=False)
class Request:
    """Weights of `bits`, `block` columns with one scale (all of a row where it is -1), chosen by `algorithm` on these samples."""

    algorithm: str
    bits: int
    block: int
    samples: Samples

    @property
    def options(self) -> dict[str, Any]:
        """The options that Neural Compressor's configurations share."""
        return {"bits": self.bits, "group_size": self.block, "use_sym": True}


class OneBlock(nn.Module):
    """The whole network as the only block of what Neural Compressor takes for a transformer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([network])

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the network gives."""
        return self.blocks[0](*inputs)
