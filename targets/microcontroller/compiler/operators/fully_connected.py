"""FULLY_CONNECTED."""

import numpy as np

from targets.formats.tflite_options import FullyConnectedOptions
from targets.microcontroller.compiler import convolution
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure


class FullyConnected:
    """int8 [..., in] with weights [out, in]."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        options = node.options(FullyConnectedOptions)
        source, weights, output = node.input(0), node.input(1), node.output()
        for tensor in (source, weights, output):
            node.require_dtype(tensor, "int8")
        node.require_rank(weights, 2)
        channels, depth = weights.shape
        rows = source.elements // depth
        if options.weights_format or source.elements % depth or output.elements != rows * channels:
            raise node.refuse(f"weights {list(weights.shape)} don't fit input {list(source.shape)}", "export the model again")
        scales = node.weight_scales(weights, 0)
        input_scale, output_scale = node.scale(source)[0], node.scale(output)[0]
        if weights.quantization is not None and not weights.quantization.per_channel:
            product = float(np.float32(input_scale) * np.float32(scales[0]))  # the reference multiplies one scale in float32
            scale = np.full(channels, product / output_scale)
        else:
            scale = input_scale * scales / output_scale
        folded = convolution.fold(node, node.constant(1, "weights"), scale)
        shape = structure(
            "ep_fully_connected_t",
            rows=rows,
            inputs=depth,
            outputs=channels,
            **convolution.clamp(node, options.activation, output),
        )
        return Layer(
            body=f"ep_fully_connected({shape},\n        x0, weights, bias, multiplier, shift, y0);",
            headers=("edgepress_fully_connected.h",),
            constants=folded.constants(),
            macs=rows * channels * depth,
        )
