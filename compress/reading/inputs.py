"""What a network takes, told without data."""

from collections.abc import Sequence
from dataclasses import dataclass

from targets.base import Tensor

TO_DATA = (0, 3, 1, 2)
"""Where NCHW has its axes in NHWC."""

LARGEST_CHANNELS = 4
"""So few in the last of four axes, and more before them, are an image's channels."""


@dataclass(frozen=True)
class Input:
    """What a network takes, laid out as data are: `shape` of one sample, so its first entry is 1, images NCHW; `dtype` is numpy's name.

    None stands for a size that the source leaves open; `channels_last` says that the file itself has its images NHWC.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"
    channels_last: bool = False


def of_file(tensors: Sequence[Tensor]) -> tuple[Input, ...]:
    """A file's inputs laid out as data are; integers that stand for real numbers take those."""
    dtypes = ("float32" if tensor.scale is not None else tensor.dtype for tensor in tensors)
    return tuple(described(each.name, each.shape, dtype, each.permutation) for each, dtype in zip(tensors, dtypes, strict=True))


def described(name: str, shape: Sequence[int | None], dtype: str, permutation: Sequence[int] | None = None) -> Input:
    """An input by its shape in the file. An axis of length 1 to 4 at the end of four, shorter than the one at 1, holds channels."""
    order = tuple(range(len(shape)))
    if permutation is not None:
        order = tuple(permutation.index(axis) for axis in order)
    elif len(shape) == 4 and shape[3] is not None and shape[3] <= LARGEST_CHANNELS and (shape[1] is None or shape[3] < shape[1]):
        order = TO_DATA
    return Input(name, tuple(shape[axis] for axis in order), dtype, channels_last=order == TO_DATA)
