"""What convolutions and fully connected layers share: how windows lie over the input, the folded bias, the requantization."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targets.base import Array
from targets.formats.tflite import Tensor
from targets.formats.tflite_options import Activation, Padding
from targets.microcontroller.compiler import fixed_point
from targets.microcontroller.compiler.layer import Constant, Kernel, Rows
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure

WEIGHTS = {"int8": ("int8", "int4"), "int16": ("int8",), "float32": ("float32",)}
"""The weights' types for each type of input and output."""


@dataclass(frozen=True)
class Window:
    """A kernel along one axis: how many taps, how far windows are apart and how far a window's taps are."""

    taps: int
    stride: int
    dilation: int = 1

    @property
    def extent(self) -> int:
        """From the first tap to the last, both counted."""
        return (self.taps - 1) * self.dilation + 1


@dataclass(frozen=True)
class Axis:
    """A window laid over one axis: sizes of input and output, padding before the first window."""

    window: Window
    input: int
    output: int
    pad: int

    @property
    def padded(self) -> int:
        """How much input the windows cover, padding counted."""
        return (self.output - 1) * self.window.stride + self.window.extent

    @property
    def inside(self) -> bool:
        """Whether every window lies in the input, without gaps."""
        return self.pad == 0 and self.padded <= self.input and self.window.dilation == 1

    @property
    def rows(self) -> Rows:
        """The axis as a layer's rows."""
        return Rows(self.input, self.output, self.window.extent, self.window.stride, self.pad)


def require_dtypes(node: Node) -> None:
    """Refuses an input, weights or an output of types that don't go together."""
    source = node.input(0)
    node.require_dtype(source, *WEIGHTS)
    node.require_dtype(node.input(1), *WEIGHTS[source.dtype])
    node.require_dtype(node.output(), source.dtype)


def axis(node: Node, padding: Padding, window: Window, size: int, output: int) -> Axis:
    """The axis as TFLite lays windows over it. Refuses strides below 1 and an output of another size."""
    if min(window.taps, window.stride, window.dilation) < 1:
        numbers = f"{window.taps}, {window.stride} and {window.dilation}"
        raise node.refuse(f"its kernel, stride and dilation are {numbers}", "they must be 1 or more; export it again")
    expected = -(-size // window.stride) if padding == Padding.SAME else -(-(size - window.extent + 1) // window.stride)
    if expected != output:
        raise node.refuse(f"its output has {output} rows or columns, and its options give {expected}", "export the model again")
    pad = max((output - 1) * window.stride + window.extent - size, 0) // 2 if padding == Padding.SAME else 0
    return Axis(window, size, output, pad)


def window(vertical: Axis, horizontal: Axis) -> dict[str, int]:
    """The two axes as members of the kernels' structures."""
    return {
        "input_height": vertical.input,
        "input_width": horizontal.input,
        "output_height": vertical.output,
        "output_width": horizontal.output,
        "kernel_height": vertical.window.taps,
        "kernel_width": horizontal.window.taps,
        "stride_height": vertical.window.stride,
        "stride_width": horizontal.window.stride,
        "pad_top": vertical.pad,
        "pad_left": horizontal.pad,
    }


def dilation(vertical: Axis, horizontal: Axis) -> dict[str, int]:
    """How far the taps are apart, as members of the kernels' structures."""
    return {"dilation_height": vertical.window.dilation, "dilation_width": horizontal.window.dilation}


def distance(vertical: Axis, horizontal: Axis, depth: int, channels: int) -> int:
    """How many bytes after its output an input must start so that nothing is overwritten before its last use.

    For a kernel that goes over the output pixels in order, [height, width, channels], and reads all that it needs of the input
    [height, width, depth] for a pixel before it writes it.
    """
    tops = np.maximum(np.arange(vertical.output) * vertical.window.stride - vertical.pad, 0) * horizontal.input
    lefts = np.maximum(np.arange(horizontal.output) * horizontal.window.stride - horizontal.pad, 0)
    below = np.append(tops[1:], vertical.input * horizontal.input)
    furthest = 0
    for row in range(vertical.output):
        unread = np.minimum(np.append(tops[row] + lefts[1:], below[row]), below[row])
        written = row * horizontal.output + np.arange(1, horizontal.output + 1)
        furthest = max(furthest, int((written * channels - unread * depth).max()))
    return furthest


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights int8 [out, inputs], the bias int32 [out] with the input's zero point folded in, and a bound on each channel's sums."""

    values: NDArray[np.int8]
    bias: NDArray[np.int32]
    largest: NDArray[np.int64]


def fold(node: Node, values: Array, bias_position: int = 2, zero_point: int | None = None) -> Weights:
    """Weights [out, inputs] with the bias of `node`. Refuses where a sum could leave 32 bits.

    `zero_point` is what is folded into the bias, input 0's by default.
    """
    weights = np.ascontiguousarray(values, np.int8)
    wide = weights.astype(np.int64)
    bias = np.zeros(len(weights), np.int64)
    if node.has(bias_position):
        stored = node.constant(bias_position, "bias")
        if stored.dtype != np.int32 or stored.size != len(weights):
            raise node.refuse(f"its bias is {stored.dtype} {list(stored.shape)}", f"export it as int32 [{len(weights)}]")
        bias = stored.ravel().astype(np.int64)
    folded = bias - (node.scale(node.input(0))[1] if zero_point is None else zero_point) * wide.sum(axis=1)
    largest = np.maximum(np.abs(wide).sum(axis=1) * 255 + np.abs(bias), np.abs(folded))
    if np.any(largest >= 2**31):
        raise node.refuse("its sums may leave 32 bits", "use fewer weights for each output, or check the bias's scale")
    return Weights(weights, folded.astype(np.int32), largest)


@dataclass(frozen=True, eq=False)
class Requantization:
    """What turns a channel's sum into an output: int32 and int8 [out]. `small` says that every sum allows the kernels' short way."""

    multiplier: NDArray[np.int32]
    shift: NDArray[np.int8]
    small: bool

    def constants(self) -> tuple[Constant, ...]:
        """The arrays that the kernels take."""
        return Constant("multiplier", self.multiplier), Constant("shift", self.shift)


def requantization(node: Node, weights: Weights, weight_axis: int, source: int = 0) -> Requantization:
    """From sums of input `source` * weight, with scales along `weight_axis`, to the output."""
    scales = node.scale(node.input(source))[0] * node.weight_scales(node.input(1), weight_axis) / node.scale(node.output())[0]
    multiplier, shift = fixed_point.multipliers(scales)
    tiny = (multiplier == 0) | (shift > 30)
    if np.all(weights.largest < 2**30):  # then such a channel's outputs are all the zero point
        multiplier, shift = np.where(tiny, 0, multiplier).astype(np.int32), np.where(tiny, 1, shift).astype(np.int8)
    return Requantization(multiplier, shift, bool(np.all(weights.largest < 2**30) and np.all((shift >= 1) & (shift <= 30))))


def clamp(node: Node, activation: Activation, output: Tensor) -> dict[str, int]:
    """Zero point and limits of the output as members of the kernels' structures."""
    lowest, highest = node.limits(activation, output)
    return {"output_zero_point": node.scale(output)[1], "lowest": lowest, "highest": highest}


def grouped(kernel: Kernel, groups: int) -> str:
    """The C of a loop of calls of a convolution's kernel, each on a group's own channels."""
    own = f"group * {kernel.members['filters']}"
    first = {
        "x0": f"group * {kernel.members['depth']}",
        "weights": f"group * (int32_t)(sizeof weights / sizeof weights[0] / {groups})",
        **dict.fromkeys(("bias", "multiplier", "shift", "y0"), own),
    }
    arguments = ", ".join(f"{name} + {first[name]}" if name in first else name for name in kernel.arguments)
    call = f"{kernel.function}({structure(kernel.structure, **kernel.members)},\n            {arguments});"
    return f"for (int32_t group = 0; group < {groups}; group++) {{\n        {call}\n    }}"
