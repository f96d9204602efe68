"""Trains the network on its labels, as it is."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from compress.context import Context
from compress.model import Model, Stage, Step
from compress.training import TrainingOptions, supervised_loss, train


@dataclass(frozen=True)
class Finetune(TrainingOptions):
    """Cross entropy on class labels (int64 [N]), mean squared error on float32 targets; options as `TrainingOptions` has them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    def __call__(self, model: Model, context: Context) -> Model:
        """The trained model. UserError where there are too few samples or the training diverges."""
        trained = train(model, context, self, supervised_loss(self.label_smoothing), "finetune")
        step = Step("finetune", asdict(self), (trained.line(context.metric.name),), trained.details())
        return model.then(trained.graph, step)
