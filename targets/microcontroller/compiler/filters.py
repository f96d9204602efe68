"""Convolutions and fully connected layers of int16 and float32 tensors: kernels/edgepress_filter.h and what it needs.

For int16, TFLite's reference adds up in 64 bits and multiplies by 15 bits (integer_ops/conv.h, common.cc), and in double precision for
fully connected layers; a bias of 32 bits makes it use the two roundings of int8.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targets.base import Array
from targets.formats.tflite_options import Activation
from targets.microcontroller.compiler import fixed_point, kernels, packing
from targets.microcontroller.compiler.convolution import Axis, dilation, distance, grouped, window
from targets.microcontroller.compiler.layer import Constant, Kernel, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.planner import SAME_PLACE

ARGUMENTS = ("x0", "weights", "bias", "multiplier", "shift", "scratch", "y0")
KIND = (
    *("kernel_height", "kernel_width", "stride_height", "stride_width", "dilation_height", "dilation_width"),
    *("scaling", "padded", "direct", "lowest", "highest"),
)
SHORT, LONG, TWICE, DOUBLE = range(4)
"""What `ep_filtered_int16` does."""
LARGEST_INPUT = 1 << 15
LARGEST_SUM = 1 << 31
LARGEST_BIAS = 1 << 46
"""The reference takes sums of 48 bits; those of the weights alone never need 46."""
REFUSED_SUM = "use fewer weights for each output, or check the bias's scale"


@dataclass(frozen=True, eq=False)
class Scaling:
    """How sums become outputs: `kind` with its constants bias, multiplier and shift, of which some types need fewer."""

    kind: int
    constants: tuple[Constant, ...]

    def arguments(self, scratch_bytes: int) -> tuple[str, ...]:
        """A kernel's arguments, 0 for what isn't there."""
        there = {"x0", "y0", "weights", *(constant.name for constant in self.constants), *(("scratch",) if scratch_bytes else ())}
        return tuple(name if name in there else "0" for name in ARGUMENTS)


def convolution(node: Node, vertical: Axis, horizontal: Axis, activation: Activation) -> Layer:
    """CONV_2D; the shapes are checked."""
    weights = node.input(1)
    channels, groups = weights.shape[0], node.input(0).shape[3] // weights.shape[3]
    values = node.constant(1, "weights").reshape(channels, -1)
    scaling = _scaling(node, values, 0, node.input(0).dtype)
    members = _members(node, vertical, horizontal, activation, scaling) | {"depth": weights.shape[3], "filters": channels // groups}
    scratch_bytes = min(2, vertical.output * horizontal.output) * _window_bytes(node, values)
    near = distance(vertical, horizontal, node.input(0).shape[3], channels) * np.dtype(node.output().dtype).itemsize
    kernel = _kernel(node, "filter", members, scaling, scratch_bytes)
    return Layer(
        body=grouped(kernel, groups) if groups > 1 else "",
        kernel=kernel if groups == 1 else None,
        headers=(kernels.header("filter", node.output().dtype),),
        constants=(*_taps(values), *scaling.constants),
        macs=node.output().elements * values.shape[1],
        scratch_bytes=scratch_bytes,
        in_place={0: near} if groups == 1 else {},
    )


def depthwise(node: Node, vertical: Axis, horizontal: Axis, activation: Activation) -> Layer:
    """DEPTHWISE_CONV_2D; the shapes are checked."""
    channels = node.output().shape[3]
    values = node.constant(1, "weights")[0].transpose(2, 0, 1).reshape(channels, -1)
    scaling = _scaling(node, values, 3, node.input(0).dtype)
    if values.dtype == np.int8 and np.any(np.abs(values.astype(np.int64)).sum(axis=1) * LARGEST_INPUT >= LARGEST_SUM):
        raise node.refuse("its sums may leave 32 bits", REFUSED_SUM)
    scratch_bytes = vertical.padded * horizontal.padded * np.dtype(node.output().dtype).itemsize
    members = _members(node, vertical, horizontal, activation, scaling)
    return Layer(
        kernel=_kernel(node, "filter_depthwise", members, scaling, scratch_bytes),
        headers=(kernels.header("filter", node.output().dtype),),
        constants=(Constant("weights", values), *scaling.constants),
        macs=node.output().elements * values.shape[1],
        scratch_bytes=scratch_bytes,
        in_place={0: SAME_PLACE} if node.input(0).shape == node.output().shape else {},
    )


def dense(node: Node, rows: int, activation: Activation) -> Layer:
    """FULLY_CONNECTED as a convolution of `rows` pixels; the shapes are checked."""
    values = node.constant(1, "weights")
    scaling = _double(node, values) if values.dtype == np.int8 else _unscaled(node, values)
    channels, depth = values.shape
    direct = values.dtype != np.int8 or depth % len(packing.ORDER) == 0
    members = dict.fromkeys(("input_height", "output_height", "kernel_height", "kernel_width", "stride_height", "stride_width"), 1)
    members |= dict.fromkeys(("dilation_height", "dilation_width"), 1) | {"input_width": rows, "output_width": rows}
    members |= {"input_channels": depth, "output_channels": channels, "depth": depth, "filters": channels}
    members |= {"pad_top": 0, "pad_left": 0} | _limits(node, activation, scaling) | {"direct": int(direct)}
    scratch_bytes = 0 if direct else min(2, rows) * _window_bytes(node, values)
    return Layer(
        kernel=_kernel(node, "filter", members, scaling, scratch_bytes),
        headers=(kernels.header("filter", node.output().dtype),),
        constants=(*_taps(values), *scaling.constants),
        macs=rows * values.size,
        scratch_bytes=scratch_bytes,
    )


def _kernel(node: Node, name: str, members: Mapping[str, int], scaling: Scaling, scratch_bytes: int) -> Kernel:
    suffix = kernels.suffix(node.output().dtype)
    return Kernel(f"ep_{name}{suffix}", f"ep_filter{suffix}_t", members, scaling.arguments(scratch_bytes), KIND)


def _members(node: Node, vertical: Axis, horizontal: Axis, activation: Activation, scaling: Scaling) -> dict[str, int]:
    members = window(vertical, horizontal) | dilation(vertical, horizontal) | _limits(node, activation, scaling)
    members |= {"input_channels": node.input(0).shape[3], "output_channels": node.output().shape[3]}
    return members | {"padded": int(not (vertical.inside and horizontal.inside))}


def _limits(node: Node, activation: Activation, scaling: Scaling) -> dict[str, int]:
    lowest, highest = node.limits(activation, node.output())
    return {"lowest": lowest, "highest": highest, "scaling": scaling.kind, "padded": 0, "direct": 0}


def _window_bytes(node: Node, weights: Array) -> int:
    """A window of the input, filled up to groups of four."""
    return int(-(-weights.shape[1] // 4) * 4 * np.dtype(node.input(0).dtype).itemsize)


def _taps(values: Array) -> tuple[Constant, ...]:
    """Weights [out, taps]; of int8 also those for the DSP extension, in groups of four."""
    if values.dtype != np.int8:
        return (Constant("weights", values),)
    filled = np.pad(values, ((0, 0), (0, -values.shape[1] % 4)))
    ordered = filled.reshape(len(values), -1, 4)[..., packing.ORDER].reshape(len(values), -1)
    return Constant("weights", values, "!EP_DSP"), Constant("weights", ordered, "EP_DSP")


def _scaling(node: Node, weights: Array, axis: int, dtype: str) -> Scaling:
    if dtype == "float32":
        return _unscaled(node, weights)
    _symmetric(node)
    scales = node.scale(node.input(0))[0] * node.weight_scales(node.input(1), axis) / node.scale(node.output())[0]
    multiplier, right = fixed_point.multipliers(scales)
    bias = _bias(node, len(weights), np.int32, np.int64)
    largest = np.abs(weights.astype(np.int64)).sum(axis=1) * LARGEST_INPUT + np.abs(bias.astype(np.int64))
    if bias.dtype == np.int32:
        if np.any(largest >= LARGEST_SUM):
            raise node.refuse("its sums may leave 32 bits", REFUSED_SUM)
        return _rounded(TWICE, bias, multiplier, right)
    short = np.minimum((multiplier.astype(np.int64) + 2**15) >> 16, 2**15 - 1)
    shift = np.where(multiplier == 0, 31, right.astype(np.int64) + 15)
    if np.any(shift < 8):
        raise node.refuse("its output's scale is too small for its input's", "quantize the model again")
    if np.all(largest < LARGEST_SUM) and np.all(shift > 16):
        return _rounded(SHORT, bias.astype(np.int32), short << 16, shift - 16)
    return _rounded(LONG, bias, short, shift)


def _rounded(kind: int, bias: Array, multiplier: Array, shift: Array) -> Scaling:
    arrays = {"bias": bias, "multiplier": multiplier.astype(np.int32), "shift": shift.astype(np.int8)}
    return Scaling(kind, tuple(Constant(name, values) for name, values in arrays.items()))


def _double(node: Node, weights: Array) -> Scaling:
    _symmetric(node)
    scales = node.scale(node.input(0))[0] * node.weight_scales(node.input(1), 0) / node.scale(node.output())[0]
    bias = _bias(node, len(weights), np.int32, np.int64).astype(np.int64)
    return Scaling(DOUBLE, (Constant("bias", bias), Constant("multiplier", scales.astype(np.float64))))


def _unscaled(node: Node, weights: Array) -> Scaling:
    return Scaling(0, (Constant("bias", _bias(node, len(weights), np.float32)),))


def _bias(node: Node, channels: int, *dtypes: type[np.generic]) -> NDArray[np.generic]:
    """The bias in one of these dtypes, zeros of the last one where there is none."""
    if not node.has(2):
        return np.zeros(channels, dtypes[-1])
    stored = node.constant(2, "bias")
    if stored.dtype.type not in dtypes or stored.size != channels:
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise node.refuse(f"its bias is {stored.dtype} {list(stored.shape)}", f"export it as {names} [{channels}]")
    if stored.dtype == np.int64 and np.any((stored >= LARGEST_BIAS) | (stored <= -LARGEST_BIAS)):
        raise node.refuse("its sums may leave 48 bits", REFUSED_SUM)
    return stored.ravel()


def _symmetric(node: Node) -> None:
    for tensor in (node.input(0), node.output()):
        node.require_symmetric(tensor)
