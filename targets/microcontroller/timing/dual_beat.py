"""Cores whose vector instructions take two beats of 64 bits: they overlap where their pipelines differ; few scalar pairs start together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from targets.microcontroller.decoders.base import Instruction

NARROW = 2
"""Bytes of the instructions that can be paired."""


@dataclass(frozen=True)
class _Operation:
    latency: int
    pipelines: tuple[str, ...] = ()
    beats: int = 1
    early: int = 0
    stall: int = 0
    words_a_cycle: int = 0


class DualBeat:
    """Cortex-M55.

    An instruction starts each cycle; of two neighbours of 16 bits, of which one's operation is in `paired`, both. `operations` says of
    each operation how many cycles later its result can be used, for how many `beats` it takes one of its `pipelines`, and how many
    cycles before the others its address has to be there (see the core's YAML file). Every block starts with an empty pipeline, but one
    that repeats itself goes on from its last round. A taken branch costs `refill` cycles more. A low-overhead loop costs its end, and
    that, in its first round only, since the core remembers where it ends (Arm DDI 0553B, B3.28): once for each time it is left.
    """

    def __init__(self, cycles: dict[str, Any]) -> None:
        self._refill: int = cycles["refill"]
        self._paired = frozenset(cycles["paired"])
        rows = cycles["operations"].items()
        self._operations = {name: _Operation(**{**row, "pipelines": tuple(row.get("pipelines", ()))}) for name, row in rows}

    def cycles(self, block: Sequence[Instruction], executions: int, fallthroughs: int) -> int:
        """Cycles of all `executions` of a block of straight-line code, of which `fallthroughs` did not take its last branch."""
        taken = executions - fallthroughs
        if block[-1].operation == "loop_end":
            body = block[:-1]
            once = self._once(body)
            again = self._once([*body, *body]) - once
            return (once + 1 + self._refill) * fallthroughs + again * taken
        return self._once(block) * executions + (self._refill * taken if block[-1].jumps else 0)

    def _once(self, block: Sequence[Instruction]) -> int:
        """Cycles from the first start of a block to the first start behind it."""
        behind = 0
        free: dict[str, int] = {}
        ready: dict[int, int] = {}
        single: Instruction | None = None
        for instruction in block:
            operation = self._operations.get(instruction.operation, self._operations["alu"])
            known = self._operands_ready(instruction, operation, ready)
            if single and known < behind and self._pairs(single, instruction):
                start, single = behind - 1, None
            else:
                pipeline = min(operation.pipelines, key=lambda name: free.get(name, 0), default="")
                start = max(behind, known, free.get(pipeline, 0))
                free[pipeline] = start + operation.beats if pipeline else 0
                behind = start + 1 + operation.stall + _more(instruction, operation)
                single = instruction if behind == start + 1 else None
            ready.update(dict.fromkeys(instruction.writes, start + operation.latency))
            ready.update(dict.fromkeys(instruction.base, start + 1))
        return behind

    def _pairs(self, first: Instruction, second: Instruction) -> bool:
        narrow = first.size == second.size == NARROW
        return narrow and bool(self._paired & {first.operation, second.operation})

    def _operands_ready(self, instruction: Instruction, operation: _Operation, ready: dict[int, int]) -> int:
        """The first cycle in which all operands are there."""
        waits = [ready[register] for register in (*instruction.reads, *instruction.accumulator) if register in ready]
        waits += [ready[register] + operation.early for register in instruction.address if register in ready]
        return max(waits, default=0)


def _more(instruction: Instruction, operation: _Operation) -> int:
    """Cycles that moving several words takes beyond the first."""
    return max(0, -(-instruction.words // operation.words_a_cycle) - 1) if operation.words_a_cycle else 0
