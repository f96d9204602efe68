"""The loss of a student: on its labels, its teachers' answers, and what they compute on the way."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from compress.context import Context
from compress.distillation import teachers
from compress.distillation.kinds import KINDS
from compress.distillation.kinds.base import Kind, Networks, Seen, Tensors
from compress.distillation.options import DistillationOptions
from compress.distillation.soft import ensemble_targets
from compress.distillation.tapping import Watched, tapped
from compress.model import Model
from compress.training import Batch, Objective, device_of, learn_labels
from compress.training.objective import label_loss
from compress.training.train import seeded, weights_digest
from targets.errors import UserError

SAMPLES = 64
"""Of the calibration part, which kinds of losses look at both networks with before training."""


@dataclass(frozen=True, eq=False)
class _Added:
    """One loss that was added, its weight and the number of the teacher that it compares with."""

    kind: Kind
    weight: float
    teacher: int = 0


def objective(
    model: Model, context: Context, options: DistillationOptions, label_smoothing: float = 0.0, student: Model | None = None
) -> Objective:
    """What a pass trains for. `student` is the network that is trained where it isn't the very one that the pass was given.

    Raises UserError where outputs don't have the teachers' shape, or a loss finds nothing to compare.
    """
    student = student or model
    taught = teachers.load(options.teacher, options.folder, model, context)
    if not taught and not options.losses:
        return learn_labels(label_smoothing)
    for teacher in taught:
        _check_shapes(student, teacher)
    added = list(_added(student, taught, context, options))
    taps = _unique(name for each in added for name in each.kind.student_taps)
    device = device_of(context.device)
    watched = []
    for number, teacher in enumerate(taught):
        names = _unique(name for each in added if each.teacher == number for name in each.kind.teacher_taps)
        watched.append(tapped(teacher, names, device))
    loss = _Loss(options, label_smoothing, taps, tuple(watched), tuple(added))
    digest = hashlib.sha256("".join(weights_digest(teacher) for teacher in taught).encode()).hexdigest()
    return Objective(loss, taps, nn.ModuleList(each.kind for each in added), digest)


@dataclass(frozen=True, eq=False)
class _Loss:
    options: DistillationOptions
    label_smoothing: float
    taps: tuple[str, ...]
    teachers: tuple[Watched, ...]
    added: tuple[_Added, ...]

    def __call__(self, outputs: torch.Tensor, values: Tensors, batch: Batch) -> torch.Tensor:
        mine = dict(zip(self.taps, values, strict=True))
        answers = [teacher(*batch.inputs) for teacher in self.teachers]
        loss = self._on_outputs(outputs, [wanted for wanted, _ in answers], batch)
        for each in self.added:
            theirs = answers[each.teacher][1] if answers else {}
            compared = Seen(_picked(mine, each.kind.student_taps), _picked(theirs, each.kind.teacher_taps), outputs, batch)
            loss = loss + each.weight * each.kind(compared)
        return loss

    def _on_outputs(self, outputs: torch.Tensor, wanted: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        alpha = self.options.alpha if wanted else 0.0
        loss = (1 - alpha) * label_loss(outputs, batch, self.label_smoothing)
        if not alpha:
            return loss
        if batch.labels.is_floating_point():
            return loss + alpha * F.mse_loss(outputs, torch.stack(wanted).mean(0))
        return loss + alpha * ensemble_targets(outputs, wanted, self.options.temperature)


def _added(student: Model, taught: tuple[Model, ...], context: Context, options: DistillationOptions) -> Iterator[_Added]:
    """Each loss once for each teacher that it compares with, which share its weight."""
    inputs, _ = next(context.data.calibration.batches(SAMPLES))
    tensors = tuple(torch.from_numpy(array) for array in inputs)
    with seeded():
        torch.manual_seed(context.seed)
        for name, weight in options.weights().items():
            kind = KINDS.load(name)
            if not kind.needs_teacher:
                yield _Added(kind(Networks(student, student, tensors)), weight)
                continue
            for number, teacher in enumerate(taught):
                yield _Added(kind(Networks(student, teacher, tensors)), weight / len(taught), number)


def _picked(values: dict[str, torch.Tensor], names: tuple[str, ...]) -> Tensors:
    return tuple(values[name] for name in names)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _check_shapes(student: Model, teacher: Model) -> None:
    mine, theirs = (tuple(each(*each.sample()).shape[1:]) for each in (student, teacher))
    if mine != theirs:
        raise UserError(f"the teacher's outputs are {list(theirs)} a sample and the network's {list(mine)}; they must agree")
