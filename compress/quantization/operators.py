"""What TFLite's int8 specification asks of each operator (https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec).

To support an operator, give it a row here. Families:

- weighted: input 0 times constant weights (symmetric, a scale for each output channel) plus an int32 bias; the output has its own scale;
- free: every input and the output have a scale of their own;
- shared: input and output hold the same numbers or a choice or mean of them, so they have one scale;
- fixed: the output's scale is written in the specification;
- activation: fused into the operator before it where that has no other reader, free otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import fx

from compress.lowering.nodes import argument, is_constant, operator_name

Family = Literal["weighted", "free", "shared", "fixed", "activation"]


@dataclass(frozen=True)
class Rule:
    """How one operator is quantized. `lowest` and `levels` give a fixed output's range: real = lowest + k * span / 256 for int8."""

    family: Family
    channel_axis: int | None = None
    lowest: float = 0.0
    highest: float = 0.0
    fuses: bool = False
    """Whether an activation after it is computed by the same kernel."""


RULES: dict[str, Rule] = {
    "conv1d": Rule("weighted", channel_axis=0, fuses=True),
    "conv2d": Rule("weighted", channel_axis=0, fuses=True),
    "conv_transpose2d": Rule("weighted", channel_axis=1),
    "linear": Rule("weighted", channel_axis=0, fuses=True),
    "add": Rule("free", fuses=True),
    "sub": Rule("free", fuses=True),
    "mul": Rule("free", fuses=True),
    "prelu": Rule("free"),
    "div": Rule("free"),
    "rsqrt": Rule("free"),
    "mean": Rule("free"),
    "sum": Rule("free"),
    "matmul": Rule("free"),
    "bmm": Rule("free"),
    "gelu": Rule("free"),
    "log_softmax": Rule("fixed", lowest=-16.0 + 1 / 16, highest=1 / 16),
    "leaky_relu": Rule("free"),
    "hardswish": Rule("free"),
    "relu": Rule("activation"),
    "relu6": Rule("activation"),
    "hardtanh": Rule("activation"),
    "softmax": Rule("fixed", lowest=0.0, highest=1.0),
    "sigmoid": Rule("fixed", lowest=0.0, highest=1.0),
    "tanh": Rule("fixed", lowest=-1.0, highest=1.0),
    **dict.fromkeys(
        [
            *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "pad", "cat"),
            *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "permute", "slice", "select"),
            *("split", "split_with_sizes", "chunk", "getitem", "expand"),
            *("upsample_nearest2d", "upsample_bilinear2d", "pixel_shuffle", "embedding"),
        ],
        Rule("shared"),
    ),
}


def rule(node: fx.Node) -> Rule | None:
    """The rule of a node's operator; None where it has none, or where the call is one that has no integer kernel."""
    found = RULES.get(operator_name(node))
    refused = REFUSED.get(operator_name(node))
    return None if refused is not None and refused(node) else found


REFUSED: dict[str, Callable[[fx.Node], bool]] = {
    **dict.fromkeys(("conv1d", "conv2d", "linear"), lambda node: not is_constant(node.args[1])),
    "pad": lambda node: argument(node, "mode") != "constant",
    "embedding": lambda node: not is_constant(node.args[0]),
    # TFLite's int8 division gives wrong numbers where the dividend is 0
    "div": lambda node: not is_constant(node.args[0]),
    # TFLite's average never counts padding and always divides by what it counts
    "avg_pool2d": lambda node: any(_numbers(argument(node, "padding"))) or bool(argument(node, "ceil_mode")),
}
"""Calls of an operator that have no integer kernel though others have."""


def _numbers(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
