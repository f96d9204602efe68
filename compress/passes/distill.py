"""Trains the network to answer as its teacher does."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from compress import distillation
from compress.context import Context
from compress.model import Model, Stage, Step
from compress.training import TrainingOptions, train
from targets.errors import UserError


@dataclass(frozen=True)
class Distill(TrainingOptions):
    """The loss is alpha * T^2 * KL(teacher at T || student at T) + (1 - alpha) * the loss on the labels, T being `temperature`.

    `teacher` is the original network, as it came. On float32 targets the soft loss is the mean squared error to the teacher's
    outputs. The other options are `TrainingOptions`'s.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    teacher: Literal["original"] = "original"
    temperature: float = 4.0
    alpha: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher != "original":
            raise UserError(f"teacher '{self.teacher}' is not known; possible: original")
        distillation.check(self.temperature, self.alpha)

    def __call__(self, model: Model, context: Context) -> Model:
        """The trained model. UserError where its outputs don't have the teacher's shape, or as `finetune` raises them."""
        loss = distillation.distillation_loss(model, context, self.temperature, self.alpha, self.label_smoothing)
        trained = train(model, context, self, loss, "distill")
        step = Step("distill", asdict(self), (trained.line(context.metric.name),), trained.details())
        return model.then(trained.graph, step)
