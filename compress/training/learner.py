"""A network that learns on one device. Several share a batch: each takes a part of it, and their gradients meet on the first."""

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.training.devices import on_device
from compress.training.objective import Batch, Objective


@dataclass(frozen=True, eq=False)
class Learner:
    """A graph that gives outputs and the values of taps, `trained`, the same in the precision asked for, and what it is trained for."""

    graph: fx.GraphModule
    trained: Callable[..., Any]
    objective: Objective
    device: torch.device

    def twin(self, device: torch.device, fabric: Any) -> "Learner":
        """A learner of its own on another device, which knows the same."""
        graph = on_device(copy.deepcopy(self.graph), device)
        objective = copy.deepcopy(self.objective)
        objective.learns.to(device)
        return Learner(graph, fabric.setup_module(graph, move_to_device=False), objective, device)

    def gradients(self, batch: Batch, share: float, fabric: Any, *, one_by_one: bool) -> list[torch.Tensor]:
        """Adds the gradients of `share` times the mean loss of these samples, gathered sample by sample where the batch is fixed to 1.

        Gives the losses that sum up to it, which are still computed while a GPU's next ones wait.
        """
        batch, losses = batch.to(self.device), []
        size = 1 if one_by_one else len(batch.labels)
        for start in range(0, len(batch.labels), size):
            part = batch.part(start, size)
            outputs, *values = self.trained(*part.inputs)
            loss = self.objective.loss(outputs, tuple(values), part) * (share * (size / len(batch.labels)))
            fabric.backward(loss)
            losses.append(loss.detach())
        return losses

    def weights(self) -> Iterator[torch.nn.Parameter]:
        """All that is trained, in the same order on each device."""
        for module in (self.graph, self.objective.learns):
            yield from (weight for weight in module.parameters() if weight.requires_grad)

    def buffers(self) -> Iterator[torch.Tensor]:
        """Statistics of BatchNorms and the like."""
        for module in (self.graph, self.objective.learns):
            yield from module.buffers()

    def follow(self, first: "Learner") -> None:
        """Takes over what the first one knows."""
        with torch.no_grad():
            for mine, latest in zip((*self.weights(), *self.buffers()), (*first.weights(), *first.buffers()), strict=True):
                mine.copy_(latest)
        for weight in self.weights():
            weight.grad = None


def shares(batch: Batch, devices: int, least: int) -> list[Batch]:
    """A batch in as many parts as there are devices, as even as can be and in order; fewer where one would have under `least` samples."""
    samples = len(batch.labels)
    parts = max(1, min(devices, samples // least))
    edges = [samples * number // parts for number in range(parts + 1)]
    return [batch.part(start, end - start) for start, end in itertools.pairwise(edges)]


def together(learners: Sequence[Learner], parts: Sequence[Batch], fabric: Any, *, one_by_one: bool) -> float:
    """The loss of a batch; the first learner has its gradients then, and of buffers the mean over the parts."""
    samples = sum(len(part.labels) for part in parts)
    fractions = [len(part.labels) / samples for part in parts]
    first, *others = learners[: len(parts)]
    for learner in others:
        learner.follow(first)
    losses = [
        loss
        for learner, part, fraction in zip((first, *others), parts, fractions, strict=True)
        for loss in learner.gradients(part, fraction, fabric, one_by_one=one_by_one)
    ]
    if others:
        _gather(first, others, fractions)
    return sum(float(loss) for loss in losses)


def _gather(first: Learner, others: Sequence[Learner], fractions: Sequence[float]) -> None:
    """Sums gradients and averages buffers, always in the same order."""
    with torch.no_grad():
        for weight, *theirs in zip(first.weights(), *(other.weights() for other in others), strict=True):
            found = [each.grad.to(first.device) for each in (weight, *theirs) if each.grad is not None]
            weight.grad = sum(found[1:], found[0]) if found else None
        for buffer, *rest in zip(first.buffers(), *(other.buffers() for other in others), strict=True):
            if buffer.is_floating_point():
                values = zip((buffer, *rest), fractions, strict=True)
                buffer.copy_(torch.stack([value.to(first.device) * fraction for value, fraction in values]).sum(0))
