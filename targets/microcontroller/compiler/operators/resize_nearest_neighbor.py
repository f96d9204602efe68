"""RESIZE_NEAREST_NEIGHBOR."""

import math

import numpy as np
from numpy.typing import NDArray

from targets.formats.tflite_options import ResizeNearestOptions
from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.fixed_point import round_half_away
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node


class ResizeNearestNeighbor:
    """Any dtype, [1, height, width, channels]; where each row and column comes from is a table."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        output = node.output()
        for tensor in (source, output):
            node.require_rank(tensor, 4)
            node.require_batch_of_one(tensor)
        options = node.options(ResizeNearestOptions)
        (_, height, width, channels), (_, rows, columns, made) = source.shape, output.shape
        if channels != made or node.integers(1, "size") != (rows, columns) or max(height, width) > 2**15:
            raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}", "export the model again")
        pixel = channels * np.dtype(source.dtype).itemsize
        return Layer(
            body=f"ep_resize_nearest({rows}, {columns}, {width}, {pixel}, x0, rows, columns, y0);",
            headers=("edgepress_resize.h",),
            constants=(Constant("rows", _origins(height, rows, options)), Constant("columns", _origins(width, columns, options))),
        )


def _origins(size: int, made: int, options: ResizeNearestOptions) -> NDArray[np.int16]:
    """For each of `made` places the one of `size` that it copies, in the reference's float32."""
    corners = options.align_corners and made > 1
    scale = np.float32(size - 1) / np.float32(made - 1) if corners else np.float32(size) / np.float32(made)
    offset = np.float32(0.5 if options.half_pixel_centers else 0.0)
    exact = [float((np.float32(index) + offset) * scale) for index in range(made)]
    nearest = [round_half_away(value) if options.align_corners else math.floor(value) for value in exact]
    return np.clip(nearest, 0, size - 1).astype(np.int16)
