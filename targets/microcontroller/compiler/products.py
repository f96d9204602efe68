"""FULLY_CONNECTED with weights that are computed: the product of two tensors' matrices, the second one transposed."""

import numpy as np

from targets.formats.tflite_options import Activation
from targets.microcontroller.compiler import convolution, fixed_point, operands
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure


def lower(node: Node, rows: int, activation: Activation) -> Layer:
    """The layer for int8 [..., in] and weights [out, in] of one scale and any zero point; requantized as FULLY_CONNECTED is."""
    source, weights, output = node.input(0), node.input(1), node.output()
    for tensor in (source, weights, output):
        node.require_dtype(tensor, "int8")
    channels, depth = weights.shape
    bias = np.zeros(channels, np.int32)
    if node.has(2):
        bias = node.constant(2, "bias").ravel()
        if bias.dtype != np.int32 or bias.size != channels:
            raise node.refuse(f"its bias is {bias.dtype} {list(bias.shape)}", f"export it as int32 [{channels}]")
    largest = depth * 255**2 + int(np.abs(bias.astype(np.int64)).max(initial=0))
    if largest >= 2**31:
        raise node.refuse("its sums may leave 32 bits", "use fewer weights for each output, or check the bias's scale")
    limits = convolution.clamp(node, activation, output)
    scale = node.scale(source)[0] * node.scale(weights)[0] / node.scale(output)[0]
    bounds = [limits[key] - limits["output_zero_point"] for key in ("lowest", "highest")]
    try:
        multiplier, shift = fixed_point.exact_multiplier(scale, largest + 1, *bounds)
    except ValueError as error:
        raise node.refuse(str(error), "quantize the model again") from None
    (given, computed), constants = operands.named(node, 0, 1)
    shape = structure(
        "ep_products_t",
        rows=rows,
        inputs=depth,
        outputs=channels,
        input_zero_point=node.scale(source)[1],
        weights_zero_point=node.scale(weights)[1],
        **limits,
        multiplier=multiplier,
        shift=shift,
    )
    return Layer(
        body=f"ep_products({shape},\n        {given}, {computed}, bias, y0);",
        headers=("edgepress_products.h",),
        constants=(*constants, Constant("bias", bias)),
        macs=rows * channels * depth,
    )
