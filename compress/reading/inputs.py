"""What a network takes, told without data."""

from collections.abc import Sequence
from dataclasses import dataclass

from targets.base import Tensor

LARGEST_CHANNELS = 4
"""So few in the last of four axes, and more before them, are an image's channels."""


@dataclass(frozen=True)
class Input:
    """What a network takes, laid out as data are: `shape` of one sample, so its first entry is 1, images NCHW; `dtype` is numpy's name.

    None stands for a size that the source leaves open.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"


def of_file(tensors: Sequence[Tensor]) -> tuple[Input, ...]:
    """A file's inputs laid out as data are. An axis of length 1 to 4 at the end of four, shorter than the one at 1, holds channels."""
    return tuple(Input(tensor.name, as_data(tensor), tensor.dtype) for tensor in tensors)


def as_data(tensor: Tensor) -> tuple[int, ...]:
    """The shape of one sample as data have it: images NCHW."""
    shape = tensor.shape
    if tensor.permutation is not None:
        return tuple(shape[tensor.permutation.index(axis)] for axis in range(len(shape)))
    channels_last = len(shape) == 4 and shape[3] <= LARGEST_CHANNELS and shape[3] < shape[1]
    return (shape[0], shape[3], shape[1], shape[2]) if channels_last else shape
