"""Integers of 4 bits, two a byte, the first in the lower half, as TFLite (INT4) and ONNX (INT4, since opset 21) store them."""

import math

import numpy as np
from numpy.typing import NDArray


def packed_bytes(elements: int) -> int:
    """How many bytes hold this many integers: an odd one leaves half a byte unused."""
    return (elements + 1) // 2


def pack(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Integers from -8 to 7, of any shape, in row-major order as uint8 [packed_bytes]; the unused half is zero.

    >>> pack(np.array([1, -1, 7], np.int8)).tolist()
    [241, 7]
    """
    halves = np.zeros(2 * packed_bytes(values.size), np.uint8)
    halves[: values.size] = values.reshape(-1).view(np.uint8) & 0x0F
    return (halves[::2] | halves[1::2] << 4).astype(np.uint8)


def unpack(stored: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int8]:
    """The inverse of `pack`, int8 in this shape."""
    halves = np.stack([stored & 0x0F, stored >> 4], axis=1).reshape(-1)[: math.prod(shape)]
    return ((halves ^ 8).astype(np.int8) - 8).reshape(shape)
