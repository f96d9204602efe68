"""Relational distillation: samples lie to each other as the teacher has them (Park et al. 2019, distances and angles)."""

import torch
from torch.nn import functional as F

from compress.distillation.kinds.base import Kind, Networks, Seen
from compress.distillation.pairs import embedding
from targets.errors import UserError

SAMPLES = 64
"""Of a batch; the angles are those of all triples of them."""


class Relational(Kind):
    """Huber losses between distances, over their mean, and twice that between angles, of what goes into the last layer."""

    def __init__(self, networks: Networks) -> None:
        if not networks.student.free_batch:
            raise UserError("losses: relational compares samples of a batch, and the network's batch is fixed to 1; try attention")
        super().__init__((embedding(networks.student),), (embedding(networks.teacher),))

    def forward(self, seen: Seen) -> torch.Tensor:
        """A scalar."""
        mine, theirs = (values[0][:SAMPLES].float().flatten(1) for values in (seen.student, seen.teacher))
        distance = F.smooth_l1_loss(_distances(mine), _distances(theirs))
        return distance + 2 * F.smooth_l1_loss(_angles(mine), _angles(theirs))


def _distances(points: torch.Tensor) -> torch.Tensor:
    """Points [N, dimensions] to the distances of all pairs [N, N], their mean 1."""
    squares = (points[:, None] - points[None]).pow(2).sum(2)
    distances = torch.where(squares > 0, squares.clamp_min(1e-12).sqrt(), 0)
    return distances / distances[distances > 0].mean().clamp_min(1e-12) if bool((distances > 0).any()) else distances


def _angles(points: torch.Tensor) -> torch.Tensor:
    """Points [N, dimensions] to the cosines of the angles at each point between all pairs of others [N, N, N]."""
    directions = F.normalize(points[None] - points[:, None], dim=2)
    return directions @ directions.transpose(1, 2)
