"""Trains the network to answer as its teacher does."""

from dataclasses import dataclass
from typing import Any, ClassVar

from compress.context import Context
from compress.distillation.objective import objective
from compress.distillation.options import DistillationOptions
from compress.model import Model, Stage, Step
from compress.recipe import plain
from compress.training import TrainingOptions, train


@dataclass(frozen=True)
class Distill(TrainingOptions, DistillationOptions):
    """Soft targets (Hinton, Vinyals and Dean 2015), and what else `losses` names; see `DistillationOptions` and `TrainingOptions`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        DistillationOptions.__post_init__(self)

    def __call__(self, model: Model, context: Context) -> Model:
        """The trained model. UserError where its outputs don't have the teacher's shape, or as `finetune` raises them."""
        trained = train(model, context, self, objective(model, context, self, self.label_smoothing), "distill")
        step = Step("distill", plain(self), (trained.line(context.metric.name),), trained.details())
        return model.then(trained.graph, step)
