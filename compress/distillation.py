"""What learning from a teacher costs: soft targets (Hinton, Vinyals and Dean 2015)."""

import math

import torch
from torch.nn import functional as F

from compress.context import Context
from compress.model import Model, first_output
from compress.training import Loss, device_of, on_device, supervised_loss
from targets.errors import UserError


def check(temperature: float, alpha: float) -> None:
    """UserError for a temperature that isn't above 0, and for an alpha outside 0 to 1."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise UserError(f"temperature must be a number above 0, not {temperature}")
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha must be from 0 (labels only) to 1 (teacher only), not {alpha}")


def distillation_loss(model: Model, context: Context, temperature: float, alpha: float, label_smoothing: float) -> Loss:
    """alpha * T^2 * KL(teacher at T || student at T) + (1 - alpha) * the loss on the labels; the teacher is the original network.

    On float32 targets the soft loss is the mean squared error to the teacher's outputs. Raises UserError where the model's outputs
    don't have the teacher's shape.
    """
    student_shape, teacher_shape = (tuple(each(*each.sample()).shape) for each in (model, context.original))
    if student_shape != teacher_shape:
        raise UserError(f"the teacher's outputs are {list(teacher_shape)} and the network's {list(student_shape)}; they must agree")
    teacher = on_device(context.original.copy_graph(), device_of(context.device))
    supervised = supervised_loss(label_smoothing)

    def loss(outputs: torch.Tensor, labels: torch.Tensor, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        with torch.no_grad():
            wanted = first_output(teacher(*inputs))
        soft = F.mse_loss(outputs, wanted) if labels.is_floating_point() else soft_targets(outputs, wanted, temperature)
        return alpha * soft + (1 - alpha) * supervised(outputs, labels, inputs)

    return loss


def soft_targets(outputs: torch.Tensor, wanted: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 * KL(softmax(wanted / T) || softmax(outputs / T)), the mean over samples. Logits [N, classes, …], both."""
    student, teacher = (F.log_softmax(logits / temperature, dim=1) for logits in (outputs, wanted))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2
