"""Cores that start one instruction at a time: the sum of published cycles, with loads that overlap and branches that reload."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from targets.microcontroller.decoders.base import Instruction

LOADS = ("load", "load_small")
OVERLAPPING = (*LOADS, "store_indexed")


class SingleIssue:
    """Cortex-M0+, M3 and M4, and RISC-V cores of four stages.

    `cycles` maps an operation to its cycles, or to those of the `first` word and of `each` word where it moves several; `default`
    holds for the rest. `refill` is added for every taken branch. What neighbours do to each other (Arm DDI 0439B 3.3.2, TI SWCU192
    "Load/store timings"): where `pipelined_loads`, a load or indexed store behind a load whose result isn't its address takes a
    cycle less; an address that the instruction before has computed costs `address_stall` cycles more, any use of what the instruction
    before has loaded `load_use`.
    """

    def __init__(self, cycles: dict[str, Any]) -> None:
        self._costs = cycles
        self._refill = int(cycles["refill"])
        self._overlap = int(cycles["pipelined_loads"])
        self._stall = int(cycles["address_stall"])
        self._load_use = int(cycles["load_use"])

    def cycles(self, block: Sequence[Instruction], executions: int, fallthroughs: int) -> int:
        """Cycles of all `executions` of a block of straight-line code, of which `fallthroughs` did not take its last branch."""
        once = sum(self._cost(instruction) for instruction in block)
        once += sum(self._between(before, after) for before, after in pairwise(block))
        taken = executions - fallthroughs if block[-1].jumps else 0
        return once * executions + self._refill * taken

    def _cost(self, instruction: Instruction) -> int:
        cost = self._costs.get(instruction.operation, self._costs["default"])
        return int(cost["first"] + cost["each"] * instruction.words if isinstance(cost, dict) else cost)

    def _between(self, before: Instruction, after: Instruction) -> int:
        """What following directly on another instruction changes."""
        dependent = bool(set(before.writes) & set(after.address))
        if before.operation in LOADS:
            if self._load_use and set(before.writes) & {*after.reads, *after.address}:
                return self._load_use
            return -self._overlap if after.operation in OVERLAPPING and not dependent else 0
        return self._stall if dependent else 0
