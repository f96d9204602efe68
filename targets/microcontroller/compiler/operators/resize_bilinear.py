"""RESIZE_BILINEAR."""

import numpy as np
from numpy.typing import NDArray

from targets.formats.tflite_options import ResizeBilinearOptions
from targets.microcontroller.compiler import moves
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node

ONE = 1 << 10


class ResizeBilinear:
    """int8 [1, height, width, channels], in the reference's fixed point of ten bits."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        output = node.output()
        for tensor in (source, output):
            node.require_rank(tensor, 4)
            node.require_batch_of_one(tensor)
            node.require_dtype(tensor, "int8")
        options = node.options(ResizeBilinearOptions)
        (_, height, width, channels), (_, rows, columns, made) = source.shape, output.shape
        if channels != made or node.integers(1, "size") != (rows, columns) or max(height, width) > 2**15:
            raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}", "export the model again")
        return Layer(
            body=f"ep_resize_bilinear({rows}, {columns}, {width}, {channels}, x0, rows, columns, y0);",
            headers=("edgepress_resize.h",),
            constants=(Constant("rows", _neighbours(height, rows, options)), Constant("columns", _neighbours(width, columns, options))),
        )


def _neighbours(size: int, made: int, options: ResizeBilinearOptions) -> NDArray[np.int16]:
    """[made, 3]: for each place the neighbour before and behind, and the weight of the one behind in 1024ths."""
    last, steps = (size - 1, made - 1) if options.align_corners and made > 1 else (size, made)
    scale = (ONE * last + steps // 2) // steps
    start = scale // 2 - ONE // 2 if options.half_pixel_centers else 0
    places = [index * scale + start for index in range(made)]
    lower = [max(place // ONE if place >= 0 else 0, 0) for place in places]
    upper = [min(max(place + ONE - 1, 0) // ONE, size - 1) for place in places]
    return np.array([(low, high, place - ONE * low) for low, high, place in zip(lower, upper, places, strict=True)], np.int16)
