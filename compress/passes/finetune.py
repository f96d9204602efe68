"""Trains the network on its labels, as it is, and from a teacher where one is named."""

from dataclasses import dataclass
from typing import Any, ClassVar

from compress.context import Context
from compress.distillation.objective import objective
from compress.distillation.options import DistillationOptions
from compress.distillation.teachers import Teacher
from compress.model import Model, Stage, Step
from compress.recipe import plain
from compress.training import TrainingOptions, train


@dataclass(frozen=True)
class Finetune(TrainingOptions, DistillationOptions):
    """Cross entropy on class labels (int64 [N]), mean squared error on float32 targets; options as `TrainingOptions` has them.

    With a `teacher`, `none` at first, it is `distill`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    teacher: Teacher = "none"

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        DistillationOptions.__post_init__(self)

    def __call__(self, model: Model, context: Context) -> Model:
        """The trained model. UserError where there are too few samples or the training diverges, and as `distill` raises them."""
        trained = train(model, context, self, objective(model, context, self, self.label_smoothing), "finetune")
        step = Step("finetune", plain(self), (trained.line(context.metric.name),), trained.details())
        return model.then(trained.graph, step)
