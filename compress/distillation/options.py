"""What a pass that trains is told about teachers."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from compress.distillation import teachers
from compress.distillation.kinds import KINDS
from compress.distillation.teachers import Teacher
from compress.training.entries import Entries, amounts
from targets.errors import UserError


@dataclass(frozen=True)
class DistillationOptions:
    """Who teaches and what; `finetune`, `distill` and `qat` take these beside `TrainingOptions`.

    `teacher` is `original` (the network as it came), `self` (as the pass is given it), `none`, another network as `model:` names one,
    or a list of these, an ensemble. With one, the loss is alpha * T^2 * KL(teacher at T || student at T) + (1 - alpha) * the loss on
    the labels, T being `temperature`; on float32 targets the first is the mean squared error to the teacher's outputs. `losses`
    adds others, each by its name or `{name: weight}`: the files of `compress/distillation/kinds/`. Relative paths start at `folder`.
    """

    teacher: Teacher = "original"
    temperature: float = 4.0
    alpha: float = 0.9
    losses: Entries = ()
    folder: Path = field(default_factory=Path, repr=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(f"temperature must be a number above 0, not {self.temperature}")
        if not 0 <= self.alpha <= 1:
            raise UserError(f"alpha must be from 0 (labels only) to 1 (teacher only), not {self.alpha}")
        teachers.check(self.teacher, self.folder)
        for name in self.weights():
            if KINDS.load(name).needs_teacher and self.teacher == teachers.NONE:
                raise UserError(f"losses: {name} compares with a teacher, and there is none; set teacher")

    def weights(self) -> dict[str, float]:
        """The weight of each loss that was added."""
        return amounts(self.losses, dict.fromkeys(KINDS.names(), 1.0), "losses")

    def fingerprint(self) -> str:
        """A hash of what the options name but don't hold: the teachers' files."""
        return teachers.fingerprint(self.teacher, self.folder)
