"""ADD, SUB, MUL, MAXIMUM and MINIMUM of int8 tensors, with broadcasting."""

import numpy as np

from targets.formats.tflite import Tensor
from targets.formats.tflite_options import ArithmeticOptions
from targets.microcontroller.compiler import convolution, moves
from targets.microcontroller.compiler.fixed_point import quantize_multiplier
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure

LOOPS = 4
RAISED = 1 << 20
"""ADD and SUB bring both inputs to a common scale with 20 more bits."""


def lower(node: Node, operation: str) -> Layer:
    """The layer for '+', '-' or '*', or '>' and '<' for the larger and the smaller of two numbers."""
    first, second, output = node.input(0), node.input(1), node.output()
    for tensor in (first, second, output):
        node.require_dtype(tensor, "int8")
    members = _loops(node, first, second, output)
    if operation in "+-*":
        members |= {"first_zero_point": node.scale(first)[1], "second_zero_point": node.scale(second)[1]}
        members |= convolution.clamp(node, node.options(ArithmeticOptions).activation, output)
        members |= _product(node) if operation == "*" else _sum(node)
    else:
        node.same_scale(first, output)
        node.same_scale(second, output)
    operands, constants = _operands(first, second)
    computed = node.computed()
    return Layer(
        body=f"ep_binary({structure('ep_binary_t', **members)},\n        '{operation}', {operands}, y0);",
        headers=("edgepress_elementwise.h",),
        constants=constants,
        in_place={position: 0 for position, tensor in enumerate(computed) if tensor.elements == output.elements},
    )


def _operands(first: Tensor, second: Tensor) -> tuple[str, tuple[Constant, ...]]:
    """The two operands' names in C, and those that are constants."""
    names: list[str] = []
    constants: list[Constant] = []
    for tensor, name in ((first, "first"), (second, "second")):
        if tensor.data is None:
            names.append(f"x{len(names) - len(constants)}")
        else:
            names.append(name)
            constants.append(Constant(name, tensor.data))
    return ", ".join(names), tuple(constants)


def _sum(node: Node) -> dict[str, int]:
    scales = [np.float32(node.scale(tensor)[0]) for tensor in (node.input(0), node.input(1), node.output())]
    twice = float(np.float32(2) * max(scales[:2]))
    members = {}
    for name, value in zip(("first", "second"), scales[:2], strict=True):
        members[f"{name}_multiplier"], members[f"{name}_shift"] = quantize_multiplier(float(value) / twice)
    output = quantize_multiplier(twice / float(np.float32(RAISED) * scales[2]))
    if output[1] < 0 or max(members["first_shift"], members["second_shift"]) > 30:
        raise node.refuse("its scales are too far apart", "quantize the model again, with calibration data for both inputs")
    return {**members, "output_multiplier": output[0], "output_shift": output[1]}


def _product(node: Node) -> dict[str, int]:
    first, second, output = (np.float32(node.scale(tensor)[0]) for tensor in (node.input(0), node.input(1), node.output()))
    multiplier, shift = quantize_multiplier(float(first * second / output))
    return {"output_multiplier": multiplier, "output_shift": shift}


def _loops(node: Node, first: Tensor, second: Tensor, output: Tensor) -> dict[str, int]:
    """Sizes and steps of the loops over the output, neighbouring axes joined where both inputs allow it."""
    try:
        steps = [np.broadcast_to(moves.canvas(tensor), output.shape).strides for tensor in (first, second)]
    except ValueError:
        raise node.refuse(
            f"{list(first.shape)} and {list(second.shape)} don't make {list(output.shape)}", "export the model again"
        ) from None
    loops: list[tuple[int, int, int]] = []
    for size, one, two in zip(output.shape, *steps, strict=True):
        if size == 1:
            continue
        if loops and loops[-1][1:] == (one * size, two * size):
            loops[-1] = (loops[-1][0] * size, one, two)
        else:
            loops.append((size, one, two))
    if len(loops) > LOOPS:
        raise node.refuse(f"it broadcasts along {len(loops)} axes", f"reshape its inputs to broadcast along {LOOPS} at most")
    loops = [(1, 0, 0)] * (LOOPS - len(loops)) + loops
    members = {f"size{index}": loop[0] for index, loop in enumerate(loops)}
    members |= {f"first{index}": loop[1] for index, loop in enumerate(loops)}
    return members | {f"second{index}": loop[2] for index, loop in enumerate(loops)}
