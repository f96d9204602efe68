"""What average and maximum pooling share."""

import numpy as np

from targets.formats.tflite_options import Pool2DOptions
from targets.microcontroller.compiler import convolution, kernels
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure


def lower(node: Node, average: bool) -> Layer:
    """Pooling of int8, int16 or float32 [1, height, width, channels]."""
    options = node.options(Pool2DOptions)
    source, output = node.input(0), node.output()
    for tensor in (source, output):
        node.require_rank(tensor, 4)
        node.require_dtype(tensor, *kernels.WORDS)
    node.require_batch_of_one(source)
    node.require_alike(source, output)
    _, height, width, channels = source.shape
    vertical = convolution.axis(node, options.padding, convolution.Window(options.filter_h, options.stride_h), height, output.shape[1])
    horizontal = convolution.axis(node, options.padding, convolution.Window(options.filter_w, options.stride_w), width, output.shape[2])
    lowest, highest = node.limits(options.activation, output)
    ending = kernels.suffix(source.dtype)
    shape = structure(f"ep_pool{ending}_t", **convolution.window(vertical, horizontal), channels=channels, lowest=lowest, highest=highest)
    return Layer(
        body=f"ep_pool{ending}({shape},\n        x0, y0, {int(average)});",
        headers=(kernels.header("pool", source.dtype),),
        in_place={0: convolution.distance(vertical, horizontal, channels, channels) * np.dtype(source.dtype).itemsize},
    )
