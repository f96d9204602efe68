"""Trains the network to answer as its teacher does: soft targets (Hinton, Vinyals and Dean 2015)."""

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch.nn import functional as F

from compress.context import Context
from compress.model import Model, Stage, Step, first_output
from compress.training import Loss, TrainingOptions, device_of, on_device, supervised_loss, train
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
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(f"temperature must be a number above 0, not {self.temperature}")
        if not 0 <= self.alpha <= 1:
            raise UserError(f"alpha must be from 0 (labels only) to 1 (teacher only), not {self.alpha}")

    def __call__(self, model: Model, context: Context) -> Model:
        """The trained model. UserError where its outputs don't have the teacher's shape, or as `finetune` raises them."""
        student_shape, teacher_shape = (tuple(each(*each.sample()).shape) for each in (model, context.original))
        if student_shape != teacher_shape:
            raise UserError(f"the teacher's outputs are {list(teacher_shape)} and the network's {list(student_shape)}; they must agree")
        trained = train(model, context, self, self._loss(context), "distill")
        step = Step("distill", asdict(self), (trained.line(context.metric.name),), trained.details())
        return model.then(trained.graph, step)

    def _loss(self, context: Context) -> Loss:
        teacher = on_device(context.original.copy_graph(), device_of(context.device))
        supervised = supervised_loss(self.label_smoothing)

        def loss(outputs: torch.Tensor, labels: torch.Tensor, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
            with torch.no_grad():
                wanted = first_output(teacher(*inputs))
            soft = F.mse_loss(outputs, wanted) if labels.is_floating_point() else soft_targets(outputs, wanted, self.temperature)
            return self.alpha * soft + (1 - self.alpha) * supervised(outputs, labels, inputs)

        return loss


def soft_targets(outputs: torch.Tensor, wanted: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 * KL(softmax(wanted / T) || softmax(outputs / T)), the mean over samples. Logits [N, classes, …], both."""
    student, teacher = (F.log_softmax(logits / temperature, dim=1) for logits in (outputs, wanted))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2
