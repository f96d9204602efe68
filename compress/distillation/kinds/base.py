"""What every loss on values inside the networks is."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from compress.model import Model
from compress.training import Batch

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, eq=False)
class Networks:
    """The network that learns, its teacher (itself where there is none), and some inputs [N, …] to look at both with."""

    student: Model
    teacher: Model
    inputs: Tensors


@dataclass(frozen=True, eq=False)
class Seen:
    """One batch, as both networks see it: the values of the taps [N, …], the student's outputs [N, …], inputs and labels."""

    student: Tensors
    teacher: Tensors
    outputs: torch.Tensor
    batch: Batch


class Kind(torch.nn.Module):
    """A torch module, made for two networks; its own weights learn beside the student. Called with `Seen` it gives a scalar.

    1 is a sensible weight for it beside a cross entropy. UserError at construction where the networks have nothing that it compares.
    """

    needs_teacher: ClassVar[bool] = True

    def __init__(self, student_taps: tuple[str, ...], teacher_taps: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.student_taps = student_taps
        self.teacher_taps = teacher_taps
