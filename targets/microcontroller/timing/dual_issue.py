"""Cores that start two instructions at a time, in order: a simulation of one block over units and register latencies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from targets.microcontroller.decoders.base import Instruction

WIDTH = 2


@dataclass(frozen=True)
class _Operation:
    units: tuple[str, ...]
    latency: int
    early: int = 0
    late: int = 0
    first: bool = False
    alone: bool = False
    stall: int = 0
    words_a_cycle: int = 0


class DualIssue:
    """Cortex-M7.

    `units` counts the units of each kind, `operations` says what each operation needs of them (see the core's YAML file). Every
    block starts with an empty pipeline. A conditional branch is predicted, so it costs `mispredicted` cycles more each time it goes
    the way that it goes less often.
    """

    def __init__(self, cycles: dict[str, Any]) -> None:
        self._units: dict[str, int] = cycles["units"]
        self._mispredicted: int = cycles["mispredicted"]
        self._operations = {name: _Operation(**{**row, "units": tuple(row["units"])}) for name, row in cycles["operations"].items()}

    def cycles(self, block: Sequence[Instruction], executions: int, fallthroughs: int) -> int:
        """Cycles of all `executions` of a block of straight-line code, of which `fallthroughs` did not take its last branch."""
        mispredictions = min(executions - fallthroughs, fallthroughs) if block[-1].jumps else 0
        return self._once(block) * executions + self._mispredicted * mispredictions

    def _once(self, block: Sequence[Instruction]) -> int:
        """Cycles from the first issue of a block to the first issue behind it."""
        cycle, issued, busy = 0, 0, dict.fromkeys(self._units, 0)
        closed = False
        ready: dict[int, int] = {}
        for instruction in block:
            operation = self._operation(instruction)
            start = max(cycle, self._operands_ready(instruction, operation, ready))
            full = issued == WIDTH or closed or any(busy[unit] >= self._units[unit] for unit in operation.units)
            if start == cycle and issued and (full or operation.first or operation.alone):
                start = cycle + 1
            if start > cycle:
                cycle, issued, busy = start, 0, dict.fromkeys(self._units, 0)
            issued += 1
            closed = operation.alone
            for unit in operation.units:
                busy[unit] += 1
            ready.update(dict.fromkeys(instruction.writes, cycle + operation.latency))
            ready.update(dict.fromkeys(instruction.base, cycle))  # bypassed from the address stage
            cycle += self._held(instruction, operation)
        return cycle + 1

    def _operation(self, instruction: Instruction) -> _Operation:
        name = instruction.operation
        fallback = "branch" if name == "branch_link" else "alu"
        return self._operations.get(name, self._operations[fallback])

    def _operands_ready(self, instruction: Instruction, operation: _Operation, ready: dict[int, int]) -> int:
        """The first cycle in which all operands are there when the operation's stage reads them."""
        is_store = "store" in operation.units
        early = 0 if is_store else operation.early
        waits = [(register, early) for register in instruction.reads]
        waits += [(register, operation.early) for register in instruction.address]
        waits += [(register, -operation.late) for register in instruction.accumulator]
        return max((ready[register] + stage for register, stage in waits if register in ready), default=0)

    def _held(self, instruction: Instruction, operation: _Operation) -> int:
        """Further cycles in which nothing can be issued."""
        more_words = max(0, -(-instruction.words // operation.words_a_cycle) - 1) if operation.words_a_cycle else 0
        return operation.stall + more_words
