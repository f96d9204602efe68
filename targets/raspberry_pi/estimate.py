"""A latency from an instruction count: instructions times cycles per instruction, over the clock.

The board's `model.cycles_per_instruction` has, for `int8` and `float32` networks, a `low` and a `high` figure, with their derivation
in its sources: `high` from published times with as many threads as cores, as if threads scaled perfectly; `low` with the worst
scaling published. The estimate is their geometric mean; the true time of a network like the published ones lies between the two.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

from targets.base import Artifact, Latency
from targets.boards import Board
from targets.errors import UserError
from targets.formats import tflite


@dataclass(frozen=True)
class Estimate:
    """A latency, the band that it lies in, and the whole board's energy in that time, in millijoules, where its power is published."""

    latency: Latency
    energy_mj: float | None
    notes: tuple[str, ...]
    details: dict[str, Any]


def latency(board: Board, artifact: Artifact, instructions: int | None) -> Estimate | None:
    """The estimate for one inference with one thread; None where nothing was counted or the board has no model."""
    constants = board.model.get("cycles_per_instruction")
    if instructions is None or constants is None or board.clock_hz is None:
        return None
    kind = "int8" if computes_integers(artifact) else "float32"
    try:
        low, high = (float(constants[kind][bound]) for bound in ("low", "high"))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"board {board.name}: model.cycles_per_instruction.{kind} must have numbers 'low' and 'high'") from None
    fastest, middle, slowest = (instructions * cycles / board.clock_hz * 1000 for cycles in (low, sqrt(low * high), high))
    note = (
        f"latency: estimated, {instructions} instructions x {sqrt(low * high):.2f} cycles each ({kind}) at {board.clock_hz / 1e6:.0f} MHz; "
        f"between {fastest:.3g} and {slowest:.3g} ms by the published times that the board's file names"
    )
    band = {"latency_low_ms": fastest, "latency_high_ms": slowest}
    energy = None if board.power_w is None else board.power_w * middle
    return Estimate(Latency(middle, middle, 1, "estimated"), energy, (note,), band)


def computes_integers(artifact: Artifact) -> bool:
    """Whether most of the file's operators work on integers; an ONNX file's do where it has quantized operators at all."""
    if artifact.format != "tflite":
        return bool(artifact.details.get("quantized_operators"))
    graph = tflite.load(artifact.path)
    dtypes = [graph.tensors[operator.inputs[0]].dtype for operator in graph.operators if operator.inputs]
    return sum(dtype in ("int8", "uint8", "int16") for dtype in dtypes) * 2 > len(dtypes)
