"""int16 operators of one input: 513 places of a function with lines between them, as TFLite's reference has them (LUTPopulate)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from targets.microcontroller.compiler.fixed_point import round_half_away
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node

STEPS = 512
LOWEST, HIGHEST = -(2**15), 2**15 - 1


def real(node: Node, function: Callable[[np.float32], float | np.float32]) -> Layer:
    """A layer for a function of real numbers from int16 to int16, both without zero points; the table is made in float32."""
    source, output = node.input(0), node.output()
    for tensor in (source, output):
        node.require_dtype(tensor, "int16")
        node.require_symmetric(tensor)
    if source.elements != output.elements or source.data is not None:
        raise node.refuse(f"it makes {list(output.shape)} of {list(source.shape)}", "export the model again")
    return Layer(
        body=f"ep_lookup_int16({output.elements}, x0, table, y0);",
        headers=("edgepress_tables_int16.h",),
        constants=(Constant("table", _table(function, np.float32(node.scale(source)[0]), np.float32(node.scale(output)[0]))),),
        in_place={0: 0},
    )


def _table(function: Callable[[np.float32], float | np.float32], scale: np.float32, output_scale: np.float32) -> NDArray[np.int16]:
    """Each entry is moved by half of what the line to the next one misses in its middle."""
    lowest, highest = scale * np.float32(LOWEST), scale * np.float32(HIGHEST)
    step = (highest - lowest) / np.float32(STEPS)
    inverse = np.float32(2**16) / (output_scale * np.float32(HIGHEST) - output_scale * np.float32(LOWEST))

    def value(place: np.float32) -> np.float32:
        return np.float32(function(place)) * inverse

    entries = []
    for index in range(STEPS):
        place = lowest + np.float32(index) * step
        entry = round_half_away(float(value(place)))
        middle = round_half_away(float(value(place + step / np.float32(2))))
        following = value(lowest + np.float32(index + 1) * step)
        line = round_half_away(float((following + np.float32(entry)) / np.float32(2)))
        entries.append(entry - round_half_away((line - middle) / 2))
    entries.append(round_half_away(float(value(highest))))
    return np.clip(entries, LOWEST, HIGHEST).astype(np.int16)
