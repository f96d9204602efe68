"""Operators that a format's runtime has no integer kernel for, found by trying each of them (`tests/test_schemes.py` does that again)."""

from collections.abc import Callable, Collection, Mapping

from torch import fx

from compress.lowering.nodes import argument, operator_name
from compress.model import layer_name

WITHOUT_INT16: dict[str, Callable[[fx.Node], bool]] = {
    "max_pool2d": lambda node: argument(node, "padding") not in (0, [], [0], [0, 0]) and bool(argument(node, "ceil_mode")),
}
"""Of TFLite, with the calls that have none: `int16_forms` makes the padding an operator of its own, whose windows end elsewhere."""

WITHOUT_INT16_IN_C = ("gelu", "log_softmax")
"""What TFLite computes with GELU, LOG and REDUCE_MAX of int16, which the compiler to C hasn't."""

NAMES = {"tflite": "TFLite", "c": "C", "onnx": "ONNX"}


def has_kernel(file_format: str, scheme: str, node: fx.Node) -> bool:
    """Whether a format's runtime computes an operator with a scheme. ONNX Runtime does all of them, in float where it has no integers.

    C is compiled from TFLite, and its compiler says itself which other kernels of TFLite it has none of.
    """
    if file_format == "c" and scheme == "int16x8" and operator_name(node) in WITHOUT_INT16_IN_C:
        return False
    if file_format in ("tflite", "c") and scheme == "int16x8":
        return operator_name(node) not in WITHOUT_INT16 or not WITHOUT_INT16[operator_name(node)](node)
    return True


def refusal(schemes: Mapping[fx.Node, str], formats: Collection[str]) -> str | None:
    """Why a network with these schemes can't be written in these formats: its first layer and the cure; None where it can be."""
    for node, scheme in schemes.items():
        for name in formats:
            if not has_kernel(name, scheme, node):
                operator = operator_name(node)
                return (
                    f"layer '{layer_name(node)}': {NAMES[name]} has no {scheme} kernel for operator '{operator}'; choose another "
                    f"scheme for it with 'overrides: [{{operator: {operator}, scheme: int8}}]', or leave '{name}' out of 'export'"
                )
    return None
