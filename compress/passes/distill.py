"""Trains the network to answer as its teacher does."""

from dataclasses import dataclass
from typing import Any, ClassVar

from compress.context import Context
from compress.distillation.objective import objective
from compress.distillation.options import DistillationOptions
from compress.distillation.student import Student
from compress.distillation.synthesis import synthetic
from compress.model import Model, Stage, Step
from compress.recipe import plain
from compress.training import TrainingOptions, train
from targets.errors import UserError


@dataclass(frozen=True)
class Distill(TrainingOptions, DistillationOptions):
    """Soft targets (Hinton, Vinyals and Dean 2015), and what else `losses` names; see `DistillationOptions` and `TrainingOptions`.

    `student` makes the network smaller first, in width and depth, with weights inherited; else it is trained as it is.
    With `synthetic` it needs no training data: so many inputs are made from what the BatchNorms of the network as it came have seen.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    student: Student | None = None
    synthetic: int = 0

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        DistillationOptions.__post_init__(self)
        if self.synthetic < 0 or self.synthetic == 1:
            raise UserError(f"synthetic must be 0 (train on the data) or a number of samples, 2 or more, not {self.synthetic}")

    def __call__(self, model: Model, context: Context) -> Model:
        """The trained model. UserError where its outputs don't have the teacher's shape, or as `finetune` raises them."""
        if self.synthetic:
            context = synthetic(context.original, context, self.synthetic)
        student, lines = self.student.build(model, context) if self.student else (model, ())
        trained = train(student, context, self, objective(model, context, self, self.label_smoothing, student), "distill")
        step = Step("distill", plain(self), (*lines, trained.line(context.metric.name)), trained.details())
        return model.then(trained.graph, step)
