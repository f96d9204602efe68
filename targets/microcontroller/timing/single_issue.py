"""Cores that start one instruction at a time: the sum of published cycles, with loads that overlap and branches that reload."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from targets.microcontroller.decoders.base import Instruction

LOADS = ("load", "load_small")
OVERLAPPING = (*LOADS, "store_indexed")


class SingleIssue:
    """Cortex-M0+, M3 and M4.

    `cycles` maps an operation to its cycles, or to those of the `first` word and of `each` word where it moves several; `default`
    holds for the rest. `refill` is added for every taken branch. One cycle goes from a load or indexed store behind a load whose
    result is not its address (Arm DDI 0439B 3.3.2), unless `pipelined_loads` is false.
    """

    def __init__(self, cycles: dict[str, Any]) -> None:
        self._costs = cycles
        self._refill = int(cycles["refill"])
        self._overlap = bool(cycles.get("pipelined_loads", True))

    def cycles(self, block: Sequence[Instruction], executions: int, fallthroughs: int) -> int:
        """Cycles of all `executions` of a block of straight-line code, of which `fallthroughs` did not take its last branch."""
        once = sum(self._cost(instruction) for instruction in block)
        once -= sum(self._overlaps(before, after) for before, after in pairwise(block))
        taken = executions - fallthroughs if block[-1].jumps else 0
        return once * executions + self._refill * taken

    def _cost(self, instruction: Instruction) -> int:
        cost = self._costs.get(instruction.operation, self._costs["default"])
        return int(cost["first"] + cost["each"] * instruction.words if isinstance(cost, dict) else cost)

    def _overlaps(self, before: Instruction, after: Instruction) -> bool:
        both = before.operation in LOADS and after.operation in OVERLAPPING
        return self._overlap and both and not set(before.writes) & set(after.address)
