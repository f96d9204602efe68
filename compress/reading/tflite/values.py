"""Tensors as the lifted network holds them: images NCHW, everything else as in the file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from targets.errors import UserError
from targets.formats.tflite_options import Activation, Padding

TO_FILE = (0, 2, 3, 1)
TO_TORCH = (0, 3, 1, 2)
AXIS_IN_TORCH = {0: 0, 1: 2, 2: 3, 3: 1}
"""Where an axis of an image in the file is in torch."""

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Call:
    """One operator of the file: its name, the schema's name for it, its options, and the shape in the file of its first output."""

    name: str
    operator: str
    options: Any
    shape: tuple[int, ...]

    def refuse(self, reason: str) -> UserError:
        """The error for a call that isn't known."""
        return UserError(f"operator '{self.name}' ({self.operator}): {reason}")

    def whole(self, value: Any) -> list[int]:
        """Numbers that must stand in the file."""
        if not isinstance(value, np.ndarray):
            raise self.refuse("its sizes are computed from the data; only networks of fixed structure can be lifted")
        return [int(number) for number in value.reshape(-1)]


def to_file(values: torch.Tensor) -> torch.Tensor:
    """As the file lays it out."""
    return values.permute(TO_FILE) if values.dim() == 4 else values


def to_torch(values: torch.Tensor) -> torch.Tensor:
    """As the network holds it."""
    return values.permute(TO_TORCH) if values.dim() == 4 else values


def axis_of(axis: int, rank: int) -> int:
    """The axis of a held tensor that is `axis` in the file."""
    return AXIS_IN_TORCH[axis % rank] if rank == 4 else axis % rank


def alike(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors that broadcast as they do in the file, where a vector goes along the last axis, the channels."""
    rank = max(one.dim(), other.dim())
    if rank == 4:
        one, other = (
            each if each.dim() in (0, 4) else to_torch(each.reshape([1] * (4 - each.dim()) + list(each.shape))) for each in (one, other)
        )
    return one, other


def activated(values: torch.Tensor, activation: Activation) -> torch.Tensor:
    """What is fused behind an operator."""
    functions: dict[Activation, Any] = {
        Activation.RELU: F.relu,
        Activation.RELU6: F.relu6,
        Activation.RELU_N1_TO_1: lambda each: F.hardtanh(each, -1.0, 1.0),
        Activation.TANH: torch.tanh,
    }
    result: torch.Tensor = functions[activation](values) if activation in functions else values
    return result


def padding(call: Call, values: torch.Tensor, reach: tuple[int, int], stride: tuple[int, int]) -> list[int]:
    """Left, right, top, bottom, so that a window which reaches over this much goes over the edge as the file wants."""
    if call.options.padding == Padding.VALID:
        return [0, 0, 0, 0]
    amounts = []
    for axis in (1, 0):
        size = values.shape[2 + axis]
        total = max((-(-size // stride[axis]) - 1) * stride[axis] + reach[axis] - size, 0)
        amounts += [total // 2, total - total // 2]
    return amounts
