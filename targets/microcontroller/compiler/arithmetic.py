"""Operators of two tensors, with broadcasting."""

import math
from collections.abc import Mapping

import numpy as np

from targets.formats.tflite import Tensor
from targets.formats.tflite_options import ArithmeticOptions
from targets.microcontroller.compiler import convolution, kernels, moves, operands
from targets.microcontroller.compiler.fixed_point import quantize_multiplier
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure

LOOPS = 4
NEAR = 1e-3
"""How near a scale's logarithm is to a whole number where TFLite takes it for a power of two."""
CALIBRATE = "quantize the model again, with calibration data for both inputs"
RAISED = {"int8": 1 << 20, "int16": 1 << 15}
"""ADD and SUB bring both inputs to a common scale with 20 more bits, or with 15."""


def lower(node: Node, operation: str) -> Layer:
    """The layer for '+', '-' or '*', or '>' and '<' for the larger and the smaller of two numbers."""
    first, second, output = node.input(0), node.input(1), node.output()
    if output.dtype != "int8":
        return _other(node, operation)
    if operation in "+-*":
        members = zero_points(node) | convolution.clamp(node, node.options(ArithmeticOptions).activation, output)
        return layer(node, operation, members | (_product(node) if operation == "*" else _sum(node)))
    node.same_scale(first, output)
    node.same_scale(second, output)
    return layer(node, operation, {})


def layer(node: Node, operation: str, members: Mapping[str, int], dtype: str = "int8", made: str = "int8") -> Layer:
    """The layer of kernels/edgepress_binary.h for an operation; `members` are those of its structure but the loops."""
    first, second, output = node.input(0), node.input(1), node.output()
    for tensor in (first, second):
        node.require_dtype(tensor, dtype)
    node.require_dtype(output, made)
    loops = _loops(node, first, second, output)
    names, constants = operands.named(node, 0, 1)
    kind = dtype if dtype in kernels.WORDS else "int8"
    pointers = [*(name if dtype == kind else f"(const int8_t *){name}" for name in names), "y0" if made == kind else "(int8_t *)y0"]
    call = f"ep_binary{kernels.suffix(kind)}({structure('ep_binary_t', **loops, **members)}"
    return Layer(
        body=f"{call},\n        '{operation}', {', '.join(pointers)});",
        headers=(kernels.header("binary", kind),),
        constants=constants,
        in_place={position: 0 for position, tensor in enumerate(node.computed()) if tensor.elements == output.elements},
    )


def floats(node: Node, operation: str) -> Layer:
    """The layer for an operation of float32; '/', 'd' (the square of the difference) and 'p' (PRELU) are possible, too."""
    lowest, highest = node.limits(node.options(ArithmeticOptions).activation, node.output())
    return layer(node, operation, {"lowest": lowest, "highest": highest}, "float32", "float32")


def _other(node: Node, operation: str) -> Layer:
    """Of float32 or int16, which has no zero points."""
    tensors = node.input(0), node.input(1), node.output()
    node.require_dtype(node.output(), *kernels.WORDS)
    if node.output().dtype == "float32":
        return floats(node, operation)
    for tensor in tensors:
        node.require_symmetric(tensor)
    if operation in "><":
        node.same_scale(tensors[0], tensors[2])
        node.same_scale(tensors[1], tensors[2])
        return layer(node, operation, {}, "int16", "int16")
    options = node.options(ArithmeticOptions)
    lowest, highest = node.limits(options.activation, node.output())
    shifts = _shifts(node) if operation in "+-" and options.powers_of_two else None
    members = _product(node) if operation == "*" else shifts or _sum(node)
    return layer(node, operation, members | {"lowest": lowest, "highest": highest}, "int16", "int16")


def _shifts(node: Node) -> dict[str, int] | None:
    """Where all scales are powers of two, how far each input is shifted to the output's, one of them not at all."""
    logarithms = [math.log2(node.scale(tensor)[0]) for tensor in (node.output(), node.input(0), node.input(1))]
    if any(abs(logarithm - round(logarithm)) >= NEAR for logarithm in logarithms):
        return None
    output, first, second = (round(logarithm) for logarithm in logarithms)
    if max(first, second) != output:
        raise node.refuse("its scales are powers of two, and the larger of its inputs' isn't its output's", "quantize the model again")
    return {"first_shift": output - first, "second_shift": output - second}


def zero_points(node: Node) -> dict[str, int]:
    """The zero points of both inputs, as members of `ep_binary_t`."""
    return {"first_zero_point": node.scale(node.input(0))[1], "second_zero_point": node.scale(node.input(1))[1]}


def multiplier(node: Node, name: str, value: float) -> dict[str, int]:
    """A real multiplier as two members of `ep_binary_t`."""
    fraction, shift = quantize_multiplier(value)
    if not -31 < shift <= 31:
        raise node.refuse("its scales are too far apart", CALIBRATE)
    return {f"{name}_multiplier": fraction, f"{name}_shift": shift}


def common_scale(node: Node) -> tuple[dict[str, int], float]:
    """Members that bring both inputs to twice the larger scale, and that scale."""
    scales = [np.float32(node.scale(tensor)[0]) for tensor in (node.input(0), node.input(1))]
    twice = float(np.float32(2) * max(scales))
    first, second = (float(scale) / twice for scale in scales)
    return multiplier(node, "first", first) | multiplier(node, "second", second), twice


def _sum(node: Node) -> dict[str, int]:
    members, twice = common_scale(node)
    members |= multiplier(node, "output", twice / float(np.float32(RAISED[node.output().dtype]) * np.float32(node.scale(node.output())[0])))
    if min(members["output_shift"], 30 - members["first_shift"], 30 - members["second_shift"]) < 0:
        raise node.refuse("its scales are too far apart", CALIBRATE)
    return members


def _product(node: Node) -> dict[str, int]:
    first, second, output = (np.float32(node.scale(tensor)[0]) for tensor in (node.input(0), node.input(1), node.output()))
    return multiplier(node, "output", float(first * second / output))


def _loops(node: Node, first: Tensor, second: Tensor, output: Tensor) -> dict[str, int]:
    """Sizes and steps of the loops over the output, neighbouring axes joined where both inputs allow it."""
    if moves.broadcast(first.shape, second.shape) != output.shape:
        raise node.refuse(f"{list(first.shape)} and {list(second.shape)} don't make {list(output.shape)}", "export the model again")
    views = [np.broadcast_to(moves.canvas(tensor), output.shape) for tensor in (first, second)]
    steps = [[step // view.itemsize for step in view.strides] for view in views]
    loops = moves.loops(node, output.shape, steps, LOOPS)
    members = {f"size{index}": loop[0] for index, loop in enumerate(loops)}
    members |= {f"first{index}": loop[1] for index, loop in enumerate(loops)}
    return members | {f"second{index}": loop[2] for index, loop in enumerate(loops)}
