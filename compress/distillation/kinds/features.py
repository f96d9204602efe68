"""Hints: the student's features, through a learned projection, are its teacher's (Romero et al. 2015)."""

import torch
from torch import nn

from compress.distillation.kinds.base import Kind, Networks, Seen
from compress.distillation.pairs import Pair, pairs
from compress.distillation.tapping import tapped
from targets.errors import UserError

ROWS = 8192
"""Positions that the first projection is fitted on."""


class Features(Kind):
    """The mean squared error over the teacher's mean square, the mean over pairs of layers.

    Where a pair has unlike numbers of channels the student's go through a linear projection, fitted by least squares on some
    samples before it learns beside the student.
    """

    def __init__(self, networks: Networks) -> None:
        found = pairs(networks.student, networks.teacher)
        if not found:
            raise UserError("losses: features needs layers of one size in network and teacher, and finds none; try relational")
        super().__init__(tuple(pair.student for pair in found), tuple(pair.teacher for pair in found))
        self.axes = [pair.axis for pair in found]
        mine = tapped(networks.student, self.student_taps)(*networks.inputs)[1]
        theirs = tapped(networks.teacher, self.teacher_taps)(*networks.inputs)[1]
        self.projections = nn.ModuleList(_projection(pair, mine[pair.student], theirs[pair.teacher]) for pair in found)

    def forward(self, seen: Seen) -> torch.Tensor:
        """A scalar, 1 where the student knows nothing but zeros."""
        errors = []
        for projection, mine, theirs, axis in zip(self.projections, seen.student, seen.teacher, self.axes, strict=True):
            wanted = theirs.movedim(axis, -1)
            errors.append((projection(mine.movedim(axis, -1)) - wanted).pow(2).mean() / wanted.pow(2).mean().clamp_min(1e-12))
        return torch.stack(errors).mean()


def _projection(pair: Pair, mine: torch.Tensor, theirs: torch.Tensor) -> nn.Module:
    rows, wanted = (values.movedim(pair.axis, -1).flatten(0, -2) for values in (mine, theirs))
    if rows.shape[1] == wanted.shape[1]:
        return nn.Identity()
    every = max(1, len(rows) // ROWS)
    projection = nn.Linear(rows.shape[1], wanted.shape[1], bias=False)
    solution = torch.linalg.lstsq(rows[::every].double(), wanted[::every].double(), driver="gelsd").solution
    with torch.no_grad():
        projection.weight.copy_(solution.T)
    return projection
