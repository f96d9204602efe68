"""A network's convolution as an operator of a file by itself."""

from collections.abc import Sequence

from compress.pruning.patches import Geometry
from compress.staircase.operation import Kind, Operation, Pair


def convolution(geometry: Geometry, given: Sequence[int], made: Sequence[int]) -> Operation | None:
    """From an input to an output of these shapes, [N, C, W] or [N, C, H, W]; None for one in groups that isn't depthwise."""
    depthwise = geometry.groups > 1 and geometry.groups == given[1] == made[1]
    if geometry.groups > 1 and not depthwise:
        return None
    padded, stride = any(geometry.padding), pair(geometry.stride)
    high, wide = image_size(made)
    size = (high * stride[0], wide * stride[1]) if padded else image_size(given)
    kind: Kind = "depthwise_conv_2d" if depthwise else "conv_2d"
    return Operation(kind, size, given[1], made[1], pair(geometry.kernel), stride, pair(geometry.dilation), padded)


def image_size(shape: Sequence[int]) -> Pair:
    """(height, width) of [N, C, W] or [N, C, H, W]."""
    return (1, shape[2]) if len(shape) == 3 else (shape[2], shape[3])


def pair(value: int | Sequence[int]) -> Pair:
    """Numbers for two axes, of one for both or one for each."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
