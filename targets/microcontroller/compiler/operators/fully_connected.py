"""FULLY_CONNECTED.

LiteRT's reference kernel requantizes its sums in double precision since 2.x, so that results differ in rare cases from those of the older
kernels with their two roundings, which TFLite Micro still has. Integers of 64 bits give the same here.
"""

import numpy as np

from targets.formats.tflite_options import FullyConnectedOptions
from targets.microcontroller.compiler import convolution, filters, fixed_point, packing, products
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure


class FullyConnected:
    """int8 [..., in] with weights [out, in]."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        options = node.options(FullyConnectedOptions)
        source, weights, output = node.input(0), node.input(1), node.output()
        convolution.require_dtypes(node)
        node.require_rank(weights, 2)
        channels, depth = weights.shape
        rows = source.elements // depth
        if options.weights_format or source.elements % depth or output.elements != rows * channels:
            raise node.refuse(f"weights {list(weights.shape)} don't fit input {list(source.shape)}", "export the model again")
        if weights.data is None:
            return products.lower(node, rows, options.activation)
        if source.dtype != "int8":
            return filters.dense(node, rows, options.activation)
        folded = convolution.fold(node, node.constant(1, "weights"))
        limits = convolution.clamp(node, options.activation, output)
        shape = structure(
            "ep_fully_connected_t",
            rows=rows,
            inputs=depth,
            outputs=channels,
            **limits,
            nibbles=weights.dtype == "int4",
        )
        return Layer(
            body=f"ep_fully_connected({shape},\n        x0, weights, bias, multiplier, shift, y0);",
            headers=("edgepress_fully_connected.h",),
            constants=(
                packing.stored_nibbles(Constant("weights", folded.values))
                if weights.dtype == "int4"
                else Constant("weights", folded.values),
                Constant("bias", folded.bias),
                *_requantization(node, folded, limits),
            ),
            macs=rows * channels * depth,
        )


def _requantization(node: Node, weights: convolution.Weights, limits: dict[str, int]) -> tuple[Constant, ...]:
    """The multiplier and shift of each output, exact for every sum that can come up; one pair where there is one scale."""
    scales = node.scale(node.input(0))[0] * node.weight_scales(node.input(1), 0) / node.scale(node.output())[0]
    bounds = [limits[key] - limits["output_zero_point"] for key in ("lowest", "highest")]
    largest = int(weights.largest.max())
    try:
        found = {scale: fixed_point.exact_multiplier(scale, largest, *bounds) for scale in set(scales.tolist())}
    except ValueError as error:
        raise node.refuse(str(error), "quantize the model again") from None
    pairs = [found[scale] for scale in scales.tolist()]
    return (
        Constant("multiplier", np.array([pair[0] for pair in pairs], np.int64)),
        Constant("shift", np.array([pair[1] for pair in pairs], np.int8)),
    )
