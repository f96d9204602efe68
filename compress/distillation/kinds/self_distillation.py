"""Self-distillation: what the network knows at its end is taught to its own earlier layers (Zhang et al. 2019)."""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from compress.distillation.kinds.base import Kind, Networks, Seen
from compress.distillation.pairs import pairs
from compress.distillation.soft import soft_targets
from compress.training.objective import label_loss
from targets.errors import UserError

TEMPERATURE = 3.0


class SelfDistillation(Kind):
    """A classifier on the pooled values of each earlier stage learns the labels and the network's own answers, half and half.

    The classifiers are thrown away; the layers below them stay better. For float32 targets both halves are squared errors.
    """

    needs_teacher: ClassVar[bool] = False

    def __init__(self, networks: Networks) -> None:
        found = [pair for pair in pairs(networks.student, networks.student) if pair.positions > 1][:-1]
        outputs = networks.student(*networks.inputs)
        if not found or outputs.ndim != 2:
            raise UserError("losses: self_distillation needs feature maps of several sizes and outputs [classes]; the network has none")
        super().__init__(tuple(pair.student for pair in found))
        self.axes = [pair.axis for pair in found]
        self.heads = nn.ModuleList(nn.Linear(pair.channels[0], outputs.shape[1]) for pair in found)

    def forward(self, seen: Seen) -> torch.Tensor:
        """A scalar, the mean over the classifiers."""
        losses = []
        for head, values, axis in zip(self.heads, seen.student, self.axes, strict=True):
            answers = head(values.movedim(axis, 1).flatten(2).mean(2))
            own = seen.outputs.detach()
            real = seen.batch.labels.is_floating_point()
            taught = F.mse_loss(answers, own) if real else soft_targets(answers, own, TEMPERATURE)
            losses.append(0.5 * taught + 0.5 * label_loss(answers, seen.batch))
        return torch.stack(losses).mean()
