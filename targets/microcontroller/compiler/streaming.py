"""Neighbouring layers run stripe by stripe, a few rows of the last one's output at a time, so that no tensor between them is whole.

Between two of them lies a buffer of only those rows that the next stripe needs. Rows that two stripes share are kept, moved to the
buffer's start, so nothing is computed twice: what MCUNetV2's patches (Lin et al., 2021) save, without their halos (as in line buffers;
Goetschalckx and Verhelst, "Breaking High-Resolution CNN Bandwidth Barriers with Enhanced Depth-First Execution", 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from targets.formats.tflite import Graph
from targets.microcontroller.compiler.layer import Kernel, Layer, Rows


@dataclass(frozen=True)
class Part:
    """What a layer does in one stripe, in rows: where it reads in its input's buffer and how many rows, with how many of padding above;
    how many rows leave its output's buffer, how many stay, and how many it adds behind these."""

    read: int
    input: int
    pad: int
    leave: int
    stay: int
    add: int


@dataclass(frozen=True)
class Stream:
    """Layers from step `first` on, with the parts of each, and how many rows of each layer's output are held."""

    first: int
    parts: tuple[tuple[Part, ...], ...]
    held: tuple[int, ...]

    @property
    def last(self) -> int:
        """The last layer's step."""
        return self.first + len(self.parts) - 1

    @property
    def stripes(self) -> int:
        """How many stripes there are."""
        return len(self.parts[0])

    def __contains__(self, step: int) -> bool:
        return self.first <= step <= self.last

    def moved(self, row_bytes: Sequence[int]) -> int:
        """How many bytes one inference moves to keep rows, by the size of a row of each layer's output."""
        stays = (sum(part.stay for part in parts if part.leave) for parts in self.parts)
        return sum(rows * size for rows, size in zip(stays, row_bytes, strict=True))

    def kernels(self, step: int, kernel: Kernel) -> list[Kernel]:
        """A layer's kernel, as each stripe calls it."""
        settings = ({"input_height": part.input, "output_height": part.add, "pad_top": part.pad} for part in self.parts[step - self.first])
        return [replace(kernel, members={**kernel.members, **changed}) for changed in settings]


def stream(first: int, chain: Sequence[Rows], height: int) -> Stream:
    """The layers of `chain` in stripes of `height` rows of the last one's output."""
    ends = [*range(height, chain[-1].output, height), chain[-1].output]
    wanted: list[list[tuple[int, int]]] = []  # of each layer, the last first: the rows of its input for each stripe
    made = []  # and how many rows of its output there are behind each stripe
    for rows in reversed(chain):
        made.append(ends)
        needs = [rows.needed(start, end) for start, end in pairwise([0, *ends])]
        wanted.append(needs)
        ends = [end for _, end in needs]
    made.reverse()
    wanted.reverse()
    parts, held = [], []
    base = [0] * len(made[0])
    for index, rows in enumerate(chain):
        starts = [0, *made[index][:-1]]
        last = index == len(chain) - 1
        behind = [0] * len(starts) if last else [min(need[0], start) for need, start in zip(wanted[index + 1], starts, strict=True)]
        before = [0, *behind[:-1]]
        parts.append(
            tuple(
                Part(
                    read=need[0] - base[stripe],
                    input=max(need[1] - need[0], 0),
                    pad=need[0] - (start * rows.stride - rows.pad),
                    leave=behind[stripe] - before[stripe],
                    stay=start - behind[stripe],
                    add=made[index][stripe] - start,
                )
                for stripe, (need, start) in enumerate(zip(wanted[index], starts, strict=True))
            )
        )
        held.append(max(part.stay + part.add for part in parts[-1]))
        base = behind
    return Stream(first, tuple(parts), tuple(held))


def candidates(graph: Graph, layers: Sequence[Layer], step: int) -> list[Stream]:
    """All ways to run layers in stripes that include the one at `step`, those with the fewest stripes, then layers, first."""
    first, last = step, step
    while first > 0 and _follows(graph, layers, first):
        first -= 1
    while last + 1 < len(layers) and _follows(graph, layers, last + 1):
        last += 1
    spans = [(start, end) for start in range(first, step + 1) for end in range(step, last + 1) if end > start]
    chains = {span: [rows for layer in layers[span[0] : span[1] + 1] if (rows := layer.rows) is not None] for span in spans}
    found = [stream(span[0], chain, height) for span, chain in chains.items() for height in _heights(chain[-1].output)]
    return sorted(found, key=lambda one: (one.stripes, len(one.parts), one.first))


def _heights(rows: int) -> list[int]:
    """Heights of stripes, each the smallest for its number of stripes, which doubles."""
    counts = [2**power for power in range(1, rows.bit_length())]
    return sorted({-(-rows // count) for count in counts if count <= rows} | ({1} if rows > 1 else set()), reverse=True)


def _follows(graph: Graph, layers: Sequence[Layer], step: int) -> bool:
    """Whether a layer and the one before it can run in stripes together: nobody else needs what lies between them."""
    between, *more = graph.operators[step - 1].outputs
    readers = [index for operator in graph.operators for index in operator.inputs if index == between]
    able = layers[step].rows is not None and layers[step - 1].rows is not None
    return able and not more and between not in graph.outputs and readers == [between] and graph.operators[step].inputs[0] == between
