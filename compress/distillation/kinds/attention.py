"""Attention transfer: the student looks where its teacher looks (Zagoruyko and Komodakis 2017)."""

import torch
from torch.nn import functional as F

from compress.distillation.kinds.base import Kind, Networks, Seen
from compress.distillation.pairs import pairs
from targets.errors import UserError


class Attention(Kind):
    """The squared distance of the maps' normalized sums of squares over channels, the mean over samples and pairs of layers."""

    def __init__(self, networks: Networks) -> None:
        found = [pair for pair in pairs(networks.student, networks.teacher) if pair.positions > 1]
        if not found:
            raise UserError("losses: attention needs feature maps of one size in network and teacher, and finds none; try relational")
        super().__init__(tuple(pair.student for pair in found), tuple(pair.teacher for pair in found))
        self.axes = [pair.axis for pair in found]

    def forward(self, seen: Seen) -> torch.Tensor:
        """A scalar from 0 to 4."""
        both = zip(seen.student, seen.teacher, self.axes, strict=True)
        return torch.stack([(_map(mine, axis) - _map(theirs, axis)).pow(2).sum(1).mean() for mine, theirs, axis in both]).mean()


def _map(values: torch.Tensor, axis: int) -> torch.Tensor:
    """[N, positions], each sample's of length 1."""
    return F.normalize(values.float().pow(2).mean(axis).flatten(1), dim=1)
