"""TRANSPOSE_CONV."""

from targets.formats.tflite_options import TransposeConvOptions
from targets.microcontroller.compiler import convolution
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure


class TransposeConv:
    """int8 [1, height, width, in] with weights [out, height, width, in]; input 0, the output's shape, isn't needed."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        options = node.options(TransposeConvOptions)
        weights, source, output = node.input(1), node.input(2), node.output()
        for tensor in (weights, source, output):
            node.require_rank(tensor, 4)
            node.require_dtype(tensor, "int8")
        node.require_batch_of_one(source)
        node.require_batch_of_one(output)
        _, height, width, depth = source.shape
        channels, kernel_height, kernel_width, kernel_depth = weights.shape
        if depth != kernel_depth or output.shape[3] != channels:
            raise node.refuse(f"{depth} channels go in, {kernel_depth} to each of {channels} filters", "export the model again")
        rows = convolution.Window(kernel_height, options.stride_h)
        columns = convolution.Window(kernel_width, options.stride_w)
        vertical = convolution.axis(node, options.padding, rows, output.shape[1], height)
        horizontal = convolution.axis(node, options.padding, columns, output.shape[2], width)
        folded = convolution.fold(node, node.constant(1, "weights").reshape(channels, -1), bias_position=3, zero_point=0)
        requantization = convolution.requantization(node, folded, 0, source=2)
        shape = structure(
            "ep_transpose_conv_t",
            **convolution.window(vertical, horizontal),
            input_channels=depth,
            output_channels=channels,
            input_zero_point=node.scale(source)[1],
            **convolution.clamp(node, options.activation, output),
        )
        return Layer(
            body=f"ep_transpose_conv({shape},\n        x0, weights, bias, multiplier, shift, y0);",
            headers=("edgepress_transpose_conv.h",),
            constants=(Constant("weights", folded.values), Constant("bias", folded.bias), *requantization.constants()),
            macs=source.elements * kernel_height * kernel_width * channels,
        )
