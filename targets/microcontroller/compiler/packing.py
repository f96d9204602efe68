"""Weights as the DSP kernels take them; the layout is told in kernels/edgepress_dsp.h."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targets.formats import nibbles as nibble
from targets.microcontroller.compiler.layer import Constant

ORDER = (0, 2, 1, 3)
"""Taps of a group of four, as their halfwords stand in two words."""
OVERREAD = 4
"""Bytes behind a plane that a depthwise kernel may load, without using them."""
JOINED_LIMIT = 2**23
"""What a joined channel's sum stays under, so that it survives a shift by eight bits."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Words int32 [pairs of channels, groups of four taps, 2]; `joined` says that halfwords hold 256 * B + A."""

    words: NDArray[np.int32]
    joined: bool


def pack(weights: NDArray[np.int8], groups: int = 1) -> Packed:
    """Pairs up the channels of weights [out, inputs], within each group; what is missing to pairs and fours is filled with 0."""
    taps = _pairs(weights, groups)[..., ORDER]
    first, second = taps[:, 0], taps[:, 1]
    joined = bool(np.all(256 * second + first >= -(2**15)) and np.all(np.abs(second).sum(axis=(1, 2)) * 128 < JOINED_LIMIT))
    halves = 256 * second + (first if joined else first & 0xFF)
    words = (halves[..., 1::2] & 0xFFFF) << 16 | halves[..., 0::2] & 0xFFFF
    return Packed(words.astype(np.uint32).view(np.int32), joined)


def either(weights: NDArray[np.int8], packed: Packed) -> tuple[Constant, Constant]:
    """The weights for cores with the DSP extension and those for the others, of which the compiler takes one."""
    return Constant("weights", weights, "!EP_DSP"), Constant("weights", packed.words, "EP_DSP")


def scratch_bytes(size: int, depth: int) -> int:
    """Two widened pixels of `size` taps, and one pixel's bytes where they can't be widened in the input."""
    groups = -(-size // 4)
    return 16 * groups + (4 * groups if depth % 4 else 0)


def rows(taps: NDArray[np.int8], dilation: int) -> tuple[Constant, ...]:
    """Depthwise weights [channels, height, width]; rows filled up to groups of four for the DSP extension."""
    if dilation != 1:
        return (Constant("weights", taps),)
    filled = np.pad(taps, ((0, 0), (0, 0), (0, -taps.shape[2] % 4)))
    return Constant("weights", taps, "!EP_DSP"), Constant("weights", filled, "EP_DSP")


def nibbles(weights: NDArray[np.int8], groups: int = 1) -> tuple[Constant, Constant]:
    """Weights [out, inputs] of 4 bits for both kinds of cores, as kernels/edgepress_nibbles.h takes them; pairs and fours as in `pack`."""
    taps = _pairs(weights, groups) + 8
    places = np.array([[0, 4, 16, 20], [8, 12, 24, 28]])  # bits at which A's and B's taps stand in a word
    words = (taps << places[:, None, :]).sum(axis=(1, 3))
    return stored_nibbles(Constant("weights", weights, "!EP_DSP")), Constant("weights", words.astype(np.uint32).view(np.int32), "EP_DSP")


def stored_nibbles(constant: Constant) -> Constant:
    """An array [channels, ...] of integers of 4 bits with two of them in a byte; each channel starts a new one."""
    rows = [nibble.pack(row) for row in constant.values]
    return Constant(constant.name, np.stack(rows).view(np.int8), constant.guard)


def _pairs(weights: NDArray[np.int8], groups: int) -> NDArray[np.int64]:
    """Weights [out, inputs] as [pairs of channels, 2, groups of four, 4], filled up with 0."""
    channels, size = weights.shape
    filters = channels // groups
    filled = np.zeros((groups, filters + filters % 2, -(-size // 4) * 4), np.int64)
    filled[:, :filters, :size] = weights.reshape(groups, filters, size)
    return filled.reshape(-1, 2, filled.shape[2] // 4, 4)
