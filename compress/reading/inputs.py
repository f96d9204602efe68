"""What a file's inputs are where there are no data to compare with."""

from collections.abc import Sequence

from compress.sources.base import Input
from targets.base import Tensor

LARGEST_CHANNELS = 4
"""So few in the last of four axes, and more before them, are an image's channels."""


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
