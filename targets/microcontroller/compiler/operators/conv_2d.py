"""CONV_2D."""

from targets.formats.tflite_options import Conv2DOptions
from targets.microcontroller.compiler import convolution, filters, packing
from targets.microcontroller.compiler.layer import Constant, Kernel, Layer
from targets.microcontroller.compiler.node import Node

ARGUMENTS = ("x0", "weights", "bias", "multiplier", "shift", "scratch", "y0")
KIND: tuple[str, ...] = ("kernel_height", "kernel_width", "stride_height", "stride_width", "dilation_height", "dilation_width")
KIND += ("small", "joined", "padded", "nibbles", "words", "paired")


class Conv2d:
    """int8, int16 or float32 [1, height, width, in] with weights [out, height, width, in]; see `filters` for all but int8."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        options = node.options(Conv2DOptions)
        source, weights, output = node.input(0), node.input(1), node.output()
        for tensor in (source, weights, output):
            node.require_rank(tensor, 4)
        convolution.require_dtypes(node)
        node.require_batch_of_one(source)
        _, height, width, depth = source.shape
        channels, kernel_height, kernel_width, kernel_depth = weights.shape
        groups = depth // kernel_depth
        if depth % kernel_depth or channels % groups or output.shape[3] != channels:
            raise node.refuse(f"{depth} channels go in, {kernel_depth} to each of {channels} filters", "export the model again")
        rows = convolution.Window(kernel_height, options.stride_h, options.dilation_h)
        columns = convolution.Window(kernel_width, options.stride_w, options.dilation_w)
        vertical = convolution.axis(node, options.padding, rows, height, output.shape[1])
        horizontal = convolution.axis(node, options.padding, columns, width, output.shape[2])
        if source.dtype != "int8":
            return filters.convolution(node, vertical, horizontal, options.activation)
        folded = convolution.fold(node, node.constant(1, "weights").reshape(channels, -1))
        packed = packing.pack(folded.values, groups)
        requantization = convolution.requantization(node, folded, 0)
        members = dict(
            **convolution.window(vertical, horizontal),
            **convolution.dilation(vertical, horizontal),
            input_channels=depth,
            output_channels=channels,
            depth=kernel_depth,
            filters=channels // groups,
            input_zero_point=node.scale(source)[1],
            **convolution.clamp(node, options.activation, output),
            small=requantization.small,
            joined=packed.joined,
            padded=not (vertical.inside and horizontal.inside),
            words=kernel_depth % 4 == 0,
            paired=channels // groups % 2 == 0,
            grouped=groups > 1,
            nibbles=weights.dtype == "int4",
        )
        kernel = Kernel("ep_conv", "ep_conv_t", members, ARGUMENTS, KIND)
        return Layer(
            body=convolution.grouped(kernel, groups) if groups > 1 else "",
            kernel=kernel if groups == 1 else None,
            headers=("edgepress_conv.h",),
            constants=(
                *(packing.nibbles(folded.values, groups) if members["nibbles"] else packing.either(folded.values, packed)),
                Constant("bias", folded.bias),
                *requantization.constants(),
            ),
            macs=output.elements * folded.values.shape[1],
            scratch_bytes=packing.scratch_bytes(folded.values.shape[1], kernel_depth),
            in_place={0: convolution.distance(vertical, horizontal, depth, channels)} if groups == 1 else {},
            rows=vertical.rows if groups == 1 else None,
        )
