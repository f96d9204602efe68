"""What a convolution or linear layer multiplies its weights with, as rows of a matrix; for the least squares of pruning."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from compress.data.base import Split
from compress.pruning.analysis import named_arguments, operator

SUPPORTED = frozenset({"conv1d", "conv2d", "linear"})
ROWS = 8192
"""At most about this many rows of a batch are used, evenly spread over its positions."""

SAMPLES, BATCH, ELEMENTS = 256, 32, 1 << 26


@dataclass(frozen=True)
class Geometry:
    """How a layer's weight is laid on its input."""

    linear: bool
    groups: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @classmethod
    def of(cls, node: fx.Node, weight: torch.Tensor) -> "Geometry":
        """That of a conv1d, conv2d or linear node; a linear layer is a convolution with a kernel of one."""
        if operator(node) == "linear":
            return cls(True, 1, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1))
        given = named_arguments(node, node.args, node.kwargs)
        kernel = tuple(weight.shape[2:])
        stride, dilation = (_wide(given[name], len(kernel), 1) for name in ("stride", "dilation"))
        if isinstance(given["padding"], str):
            total = [d * (k - 1) if given["padding"] == "same" else 0 for d, k in zip(dilation[-len(kernel) :], kernel, strict=True)]
            sides = [(each // 2, each - each // 2) for each in total]
        else:
            sides = [(each, each) for each in _wide(given["padding"], len(kernel), 0)[-len(kernel) :]]
        padding = tuple(side for pair in reversed(sides) for side in pair) + (0, 0) * (2 - len(kernel))
        return cls(False, given["groups"], (1,) * (2 - len(kernel)) + kernel, stride, padding, dilation)

    def rows(self, value: torch.Tensor) -> torch.Tensor:
        """The patches [groups, rows, channels of a group * kernel] of an input [N, C, …], or [..., C] of a linear layer."""
        if self.linear:
            return value.reshape(1, -1, value.shape[-1])
        image = value if value.ndim == 4 else value.unsqueeze(2)
        patches = F.unfold(F.pad(image, self.padding), self.kernel, self.dilation, 0, self.stride)
        split = patches.reshape(len(patches), self.groups, -1, patches.shape[-1])
        return split.permute(1, 0, 3, 2).reshape(self.groups, -1, split.shape[2])

    def results(self, value: torch.Tensor) -> torch.Tensor:
        """The outputs [groups, rows, channels of a group] that belong to these rows."""
        if self.linear:
            return value.reshape(1, -1, value.shape[-1])
        split = value.reshape(len(value), self.groups, -1, value[0, 0].numel())
        return split.permute(1, 0, 3, 2).reshape(self.groups, -1, split.shape[2])


def thinned(rows: torch.Tensor) -> torch.Tensor:
    """At most about ROWS of the rows [groups, rows, …], the same of inputs and of outputs."""
    return rows[:, :: max(1, rows.shape[1] // ROWS)]


def calibration_batches(split: Split, free_batch: bool, largest: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Inputs as a network takes them: as many as SAMPLES, fewer where `largest`, the elements of its largest tensor, would fill memory."""
    samples = max(1, min(SAMPLES, ELEMENTS // largest))
    for inputs, _ in split.first(samples).batches(BATCH if free_batch else 1):
        yield tuple(torch.from_numpy(array) for array in inputs)


def _wide(value: Any, rank: int, filler: int) -> tuple[int, ...]:
    """A number for each of two axes, of one for all or one for each."""
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,)
    numbers = numbers * rank if len(numbers) == 1 else numbers
    return (filler,) * (2 - rank) + numbers
