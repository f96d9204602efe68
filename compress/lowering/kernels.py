"""Operators that a format's runtime has no integer kernel for, found by trying each of them (`tests/test_schemes.py` does that again)."""

from collections.abc import Callable, Collection, Mapping

from torch import fx

from compress.lowering.nodes import argument, operator_name
from compress.model import layer_name

WITHOUT_INT16: dict[str, Callable[[fx.Node], bool]] = {
    **dict.fromkeys(("cat", "gelu", "hardswish", "log_softmax", "pixel_shuffle", "prelu"), lambda _: True),
    "max_pool2d": lambda node: argument(node, "padding") not in (0, [], [0], [0, 0]),
    "pad": lambda node: bool(argument(node, "value")),
}
"""Of TFLite, with the calls that have none. Its converter doesn't write `cat` and padding with another number than zero, the runtime
refuses the others or, of `prelu`, gives wrong numbers."""

NAMES = {"tflite": "TFLite", "c": "C", "onnx": "ONNX"}


def has_kernel(file_format: str, scheme: str, node: fx.Node) -> bool:
    """Whether a format's runtime computes an operator with a scheme. ONNX Runtime does all of them, in float where it has no integers.

    C is compiled from TFLite, and its compiler says itself which of TFLite's kernels it has none of.
    """
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
