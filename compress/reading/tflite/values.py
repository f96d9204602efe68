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
Shape = tuple[int, ...]


class UnliftedError(UserError):
    """What a sound file may hold and a torch network can't here; targets may take the file all the same."""


@dataclass(frozen=True)
class Call:
    """One operator of the file: its name, the schema's name for it, its options, shape and dtype in the file of its first output.

    `given` are the shapes in the file of its inputs for one sample, `images` which of them are held as images (NCHW), and `image`
    whether its results are.
    """

    name: str
    operator: str
    options: Any
    shape: Shape
    dtype: str = "float32"
    given: tuple[Shape, ...] = ()
    images: tuple[bool, ...] = ()
    image: bool = False

    def refuse(self, reason: str) -> UnliftedError:
        """The error for a call that isn't known."""
        return UnliftedError(f"operator '{self.name}' ({self.operator}): {reason}")

    def whole(self, value: Any) -> list[int]:
        """Numbers that must stand in the file."""
        if not isinstance(value, np.ndarray):
            raise self.refuse("its sizes are computed from the data; only networks of fixed structure can be lifted")
        return [int(number) for number in value.reshape(-1)]

    def to_file(self, values: torch.Tensor, position: int = 0) -> torch.Tensor:
        """An input as the file lays it out."""
        return values.permute(TO_FILE) if self.images[position] else values

    def to_torch(self, values: torch.Tensor) -> torch.Tensor:
        """A result as the network holds it."""
        return values.permute(TO_TORCH) if self.image else values

    def axis(self, axis: int, rank: int) -> int:
        """The axis of a held result that is `axis` in the file."""
        return AXIS_IN_TORCH[axis % 4] if self.image else axis % rank

    def batch(self, values: torch.Tensor, position: int = 0, *, held: bool = False) -> int | None:
        """The axis along which an input holds more samples than one; `held` says that it isn't laid out as in the file."""
        one = self.given[position]
        shape = tuple(one[axis] for axis in TO_TORCH) if held and self.images[position] else one
        grown = [axis for axis, (size, single) in enumerate(zip(values.shape, shape, strict=True)) if size != single]
        if len(grown) > 1:
            raise self.refuse("holds samples along two axes")
        return grown[0] if grown else None


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


def alike(call: Call, *values: torch.Tensor) -> list[torch.Tensor]:
    """Tensors that broadcast as they do in the file, where a vector goes along the last axis, the channels."""
    if not call.image:
        return list(values)
    return [each if each.dim() in (0, 4) else each.reshape([1] * (4 - each.dim()) + list(each.shape)).permute(TO_TORCH) for each in values]


def together(call: Call, values: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """Inputs as they are held, those that are the same for all samples repeated for each of them."""
    axes = [call.batch(each, position, held=True) for position, each in enumerate(values)]
    sizes = {axis: each.shape[axis] for axis, each in zip(axes, values, strict=True) if axis is not None}
    if len(sizes) != 1:
        return list(values)
    ((batch, size),) = sizes.items()
    repeated = [[size if axis == batch else -1 for axis in range(each.dim())] for each in values]
    return [each if axis == batch else each.expand(shape) for axis, each, shape in zip(axes, values, repeated, strict=True)]


def part(values: torch.Tensor, axis: int, start: int, length: int) -> torch.Tensor:
    """So many places of a held axis, as one slice."""
    cut: torch.Tensor = torch.ops.aten.slice.Tensor(values, axis, start, start + length)
    return cut


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
