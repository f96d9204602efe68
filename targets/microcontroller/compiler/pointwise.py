"""Operators of one input that aren't tables of int8: functions of float32, and int16 or a mixture of types rescaled."""

import numpy as np

from targets.microcontroller.compiler import fixed_point
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure

NO_LIMITS = -(2**31), 2**31 - 1


def floats(node: Node, function: str, *arguments: str) -> Layer:
    """A layer that calls a function of kernels/edgepress_math_float32.h for each float32."""
    for tensor in (node.input(0), node.output()):
        node.require_dtype(tensor, "float32")
    _require_one_input(node)
    call = ", ".join(("x0[i]", *arguments))
    return Layer(
        body=f"for (int32_t i = 0; i < {node.output().elements}; i++) {{\n        y0[i] = {function}({call});\n    }}",
        headers=("edgepress_math_float32.h",),
        in_place={0: 0},
    )


def clipped_floats(node: Node, lowest: float | None, highest: float | None) -> Layer:
    """A layer that keeps float32 between two whole numbers."""
    limits = (none if limit is None else int(limit) for limit, none in zip((lowest, highest), NO_LIMITS, strict=True))
    return floats(node, "ep_clamp_float32", *(f"INT32_C({limit})" if limit > NO_LIMITS[0] else "INT32_MIN" for limit in limits))


def rescaled(node: Node, ratio: float, lowest: float | None = None, highest: float | None = None, below: float | None = None) -> Layer:
    """A layer that multiplies real numbers' integers by `ratio`, those below 0 by `below`, and keeps them between two real limits.

    Input and output are int8 or int16.
    """
    source, output = node.input(0), node.output()
    for tensor in (source, output):
        node.require_dtype(tensor, "int8", "int16")
    _require_one_input(node)
    scale, zero_point = node.scale(output)
    limits = np.iinfo(output.dtype)
    multiplier, shift = fixed_point.quantize_multiplier(ratio)
    below_multiplier, below_shift = fixed_point.quantize_multiplier(ratio if below is None else abs(below))
    if min(shift, below_shift) < -14:
        raise node.refuse("its output's scale is too small for its input's", "quantize the model again")
    wide, made = source.dtype == "int16", output.dtype == "int16"
    members = structure(
        "ep_rescale_t",
        size=source.elements,
        from_wide=int(wide),
        to_wide=int(made),
        input_zero_point=node.scale(source)[1],
        output_zero_point=zero_point,
        lowest=limits.min if lowest is None else max(int(limits.min), fixed_point.quantize(lowest, scale, zero_point)),
        highest=limits.max if highest is None else min(int(limits.max), fixed_point.quantize(highest, scale, zero_point)),
        multiplier=multiplier,
        shift=shift,
        below_multiplier=below_multiplier,
        below_shift=below_shift,
        below_sign=-1 if below is not None and below < 0 else 1,
    )
    distance = source.elements if made and not wide else 0
    return Layer(body=f"ep_rescale({members},\n        x0, y0);", headers=("edgepress_rescale.h",), in_place={0: distance})


def _require_one_input(node: Node) -> None:
    source, output = node.input(0), node.output()
    if source.data is not None or source.elements != output.elements:
        raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}", "export the model again")
