"""Tensors on their way through a network, and how they lie there beside how Keras lays them out."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch


@dataclass(frozen=True)
class Flat:
    """A vector [N, C*H*W] that was an image (C, H, W), channels first; in Keras its numbers go H, W, C."""

    image: tuple[int, ...]


Layout = Literal["keras", "first"] | Flat
"""`keras`: as Keras has it; `first`: Keras's last axis, the channels, is axis 1."""
KERAS: Layout = "keras"
FIRST: Layout = "first"


@dataclass(frozen=True)
class Value:
    """What is known of a tensor before the network runs: a stand-in for a sample, its layout, and the layer that masks it."""

    sample: torch.Tensor
    layout: Layout = KERAS
    mask: str | None = None

    @property
    def rank(self) -> int:
        """How many axes it has, the batch among them."""
        return self.sample.dim()

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in Keras, the batch first."""
        shape = tuple(self.sample.shape)
        return (shape[0], *shape[2:], shape[1]) if self.layout == FIRST and self.rank > 2 else shape

    @property
    def ordered(self) -> bool:
        """Whether its numbers come in Keras's order, though axes of length 1 may lie elsewhere."""
        if self.layout != FIRST:
            return self.layout == KERAS
        return self.rank < 3 or self.shape[-1] == 1 or math.prod(self.shape[1:-1]) == 1

    def axis(self, axis: int) -> int:
        """Where Keras's axis lies."""
        positive = axis % self.rank
        return axis_in(self.layout, positive, self.rank)


def axis_in(layout: Layout, axis: int, rank: int) -> int:
    """Where Keras's axis (0 to rank - 1) lies in a tensor of this layout."""
    if layout != FIRST or axis == 0 or rank < 3:
        return axis
    return 1 if axis == rank - 1 else axis + 1


def move(value: torch.Tensor, before: Layout, after: Layout) -> torch.Tensor:
    """A tensor in another layout; as a reshape where only axes of length 1 move."""
    if isinstance(before, Flat):
        image = before.image
        if isinstance(after, Flat):
            return move(move(value, before, KERAS), KERAS, after)
        return _last(value.reshape(-1, *image)).reshape(-1, math.prod(image))
    if isinstance(after, Flat):
        channels, *spatial = after.image
        return _first(value.reshape(-1, *spatial, channels)).reshape(-1, math.prod(after.image))
    if before == after or value.dim() < 3:
        return value
    moved = _last(value) if before == FIRST else _first(value)
    rest, channels = (value.shape[2:], value.shape[1]) if before == FIRST else (value.shape[1:-1], value.shape[-1])
    if channels == 1 or all(size == 1 for size in rest):
        return value.reshape(value.shape[0], *moved.shape[1:])
    return moved


def _last(value: torch.Tensor) -> torch.Tensor:
    return value.permute(0, *range(2, value.dim()), 1)


def _first(value: torch.Tensor) -> torch.Tensor:
    return value.permute(0, value.dim() - 1, *range(1, value.dim() - 1))


def mover(value: Value, layout: Layout) -> "partial[torch.Tensor] | None":
    """What brings a value into a layout; None where it lies so already."""
    flat = isinstance(value.layout, Flat) or isinstance(layout, Flat)
    same = value.layout == layout or (value.rank < 3 and not flat)
    return None if same else partial(move, before=value.layout, after=layout)
