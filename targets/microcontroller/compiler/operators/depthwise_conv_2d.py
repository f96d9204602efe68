"""DEPTHWISE_CONV_2D."""

from targets.formats.tflite_options import DepthwiseConv2DOptions
from targets.microcontroller.compiler import convolution, filters, packing
from targets.microcontroller.compiler.layer import Constant, Kernel, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.planner import SAME_PLACE, aligned

ARGUMENTS = ("x0", "weights", "bias", "multiplier", "shift", "scratch", "y0")
KIND: tuple[str, ...] = ("kernel_height", "kernel_width", "stride_height", "stride_width", "dilation_height", "dilation_width")
KIND += ("small", "nibbles", "input_width", "input_channels", "output_width", "output_channels", "pad_left")
"""These stay constants since the inner loops have no registers left for steps between rows and pixels."""


class DepthwiseConv2d:
    """int8 [1, height, width, in] with weights [1, height, width, out]; out is a multiple of in."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        options = node.options(DepthwiseConv2DOptions)
        source, weights, output = node.input(0), node.input(1), node.output()
        for tensor in (source, weights, output):
            node.require_rank(tensor, 4)
        convolution.require_dtypes(node)
        node.require_batch_of_one(source)
        _, height, width, depth = source.shape
        repeats, kernel_height, kernel_width, channels = weights.shape
        if repeats != 1 or channels % depth or output.shape[3] != channels:
            raise node.refuse(f"{depth} channels go in and {channels} out", "export the model again")
        rows = convolution.Window(kernel_height, options.stride_h, options.dilation_h)
        columns = convolution.Window(kernel_width, options.stride_w, options.dilation_w)
        vertical = convolution.axis(node, options.padding, rows, height, output.shape[1])
        horizontal = convolution.axis(node, options.padding, columns, width, output.shape[2])
        if source.dtype != "int8":
            return filters.depthwise(node, vertical, horizontal, options.activation)
        taps = node.constant(1, "weights")[0].transpose(2, 0, 1)
        if width == kernel_width == 1:  # taps side by side are faster than taps below each other
            vertical, horizontal, taps = horizontal, vertical, taps.transpose(0, 2, 1)
        folded = convolution.fold(node, taps.reshape(channels, -1))
        requantization = convolution.requantization(node, folded, 3)
        members = dict(
            **convolution.window(vertical, horizontal),
            **convolution.dilation(vertical, horizontal),
            input_channels=depth,
            output_channels=channels,
            input_zero_point=node.scale(source)[1],
            **convolution.clamp(node, options.activation, output),
            small=requantization.small,
            nibbles=weights.dtype == "int4",
        )
        stored = packing.rows(taps, horizontal.window.dilation)
        plane = aligned(vertical.padded * horizontal.padded) + packing.OVERREAD
        if members["nibbles"]:
            plane += max(constant.values[0].size for constant in stored)
            stored = tuple(packing.stored_nibbles(constant) for constant in stored)
        return Layer(
            kernel=Kernel("ep_depthwise", "ep_conv_t", members, ARGUMENTS, KIND),
            headers=("edgepress_depthwise.h",),
            constants=(*stored, Constant("bias", folded.bias), *requantization.constants()),
            macs=output.elements * kernel_height * kernel_width,
            scratch_bytes=plane,
            in_place={0: SAME_PLACE} if source.shape == output.shape else {},
            rows=None if width == kernel_width == 1 else vertical.rows,
        )
