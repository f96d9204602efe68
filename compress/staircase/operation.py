"""One operator of an exported file by itself: what decides what it costs on a target."""

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["conv_2d", "depthwise_conv_2d", "fully_connected", "add", "average_pool_2d", "max_pool_2d", "mean", "concatenation"]

MIXING: frozenset[Kind] = frozenset({"conv_2d", "fully_connected", "concatenation"})
"""Operators whose inputs' and outputs' channels are two numbers; those of the others are one."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Operation:
    """An operator with the shapes that it works on, for one sample, channels last.

    `size` is the input's (height, width), for `fully_connected` (1, rows); `padded` means as much zero padding as keeps size / stride.
    `concatenation` is of copies of one input.
    """

    kind: Kind
    size: Pair
    inputs: int
    outputs: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padded: bool = False

    @property
    def output_size(self) -> Pair:
        """(height, width) of the output."""
        if self.kind == "mean":
            return 1, 1
        high, wide = (
            -(-size // stride) if self.padded else (size - (taps - 1) * apart - 1) // stride + 1
            for size, taps, stride, apart in zip(self.size, self.kernel, self.stride, self.dilation, strict=True)
        )
        return high, wide

    @property
    def macs(self) -> int:
        """Multiply-accumulates; 0 for what multiplies no weights."""
        weights = {"conv_2d": self.inputs * self.outputs, "fully_connected": self.inputs * self.outputs, "depthwise_conv_2d": self.outputs}
        return weights.get(self.kind, 0) * self.kernel[0] * self.kernel[1] * self.output_size[0] * self.output_size[1]

    def with_channels(self, inputs: int, outputs: int) -> "Operation":
        """The same with other numbers of channels."""
        return replace(self, inputs=inputs, outputs=outputs if self.kind in MIXING else inputs)
