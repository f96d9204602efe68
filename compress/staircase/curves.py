"""From measurements at a few channel counts to all counts.

A kernel goes over channels a few at a time, its period, so a cost is a line with a pattern on it that repeats. The line is measured at a
few multiples of the period, the pattern at every count of the last period.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from compress.staircase.operation import MIXING, Operation


def counts(most: int, period: int) -> tuple[int, ...]:
    """The channel counts, up to `most`, at which to measure; all of them where there are few."""
    last = most // period * period
    if last <= period:
        return tuple(range(1, most + 1))
    lines = {max(period, share * last // (4 * period) * period) for share in (1, 2)}
    return tuple(sorted(lines | set(range(last - period, most + 1))))


@dataclass(frozen=True)
class Profile:
    """A cost by the number of channels: measured at some, in between the line with the last period's pattern on it."""

    measured: Mapping[int, float]
    period: int

    def __call__(self, count: int) -> float:
        """The cost at a count from 1 to the largest measured."""
        if count in self.measured:
            return self.measured[count]
        low, rest = count // self.period * self.period, count % self.period
        last = max(self.measured) // self.period * self.period
        first, end = self.measured[last - self.period], self.measured[last]
        share = (self.measured[last - self.period + rest] - first) / (end - first) if end != first else 0.0
        return self._line(low) + share * (self._line(low + self.period) - self._line(low))

    def _line(self, count: int) -> float:
        knots = sorted(each for each in self.measured if each % self.period == 0)
        before, after = next((pair for pair in pairwise(knots) if count <= pair[1]), (knots[-2], knots[-1]))
        slope = (self.measured[after] - self.measured[before]) / (after - before)
        return max(self.measured[before] + slope * (count - before), 0.0)


def wanted(operation: Operation, inputs: int, outputs: int, period: int) -> tuple[Operation, ...]:
    """The operations to measure so that `Surface` knows every number of channels.

    `inputs` and `outputs` are the least that they may have: the operation's own number where none of them can go.
    """
    along_inputs, along_outputs = _axes(operation, inputs, outputs, period)
    found = [operation.with_channels(count, operation.outputs) for count in along_inputs]
    found += [operation.with_channels(operation.inputs, count) for count in along_outputs] if operation.kind in MIXING else []
    return tuple(dict.fromkeys([*found, operation.with_channels(along_inputs[0], along_outputs[0])]))


class Surface:
    """An operation's cost by its numbers of inputs and outputs, each of which adds its own profile and multiplies the other's."""

    def __init__(self, operation: Operation, costs: Mapping[Operation, float], least: tuple[int, int], period: int) -> None:
        self.operation = operation
        along_inputs, along_outputs = _axes(operation, *least, period)
        whole = operation.with_channels(operation.inputs, operation.outputs)
        self.by_inputs = Profile({count: costs[operation.with_channels(count, operation.outputs)] for count in along_inputs}, period)
        if operation.kind in MIXING:
            self.by_outputs = Profile({count: costs[operation.with_channels(operation.inputs, count)] for count in along_outputs}, period)
            self.corner = costs[operation.with_channels(along_inputs[0], along_outputs[0])]
        self.whole, self.first = costs[whole], (along_inputs[0], along_outputs[0])
        self._known: dict[tuple[int, int], float] = {}

    def __call__(self, inputs: int, outputs: int) -> float:
        """The cost with so many channels; 0 where there are none."""
        if (inputs, outputs) not in self._known:
            self._known[inputs, outputs] = self._cost(inputs, outputs)
        return self._known[inputs, outputs]

    def _cost(self, inputs: int, outputs: int) -> float:
        if inputs == 0 or outputs == 0:
            return 0.0
        if self.operation.kind not in MIXING:
            return self.by_inputs(inputs)
        least_inputs, least_outputs = self.by_inputs(self.first[0]), self.by_outputs(self.first[1])
        both = self.whole - least_inputs - least_outputs + self.corner
        steps = (self.whole - least_inputs) * (self.whole - least_outputs)
        missing = (self.whole - self.by_inputs(inputs)) * (self.whole - self.by_outputs(outputs))
        crossed = both * missing / steps if steps else 0.0
        return max(self.by_inputs(inputs) + self.by_outputs(outputs) - self.whole + crossed, 0.0)


def _axes(operation: Operation, inputs: int, outputs: int, period: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    along_inputs = counts(operation.inputs, period) if inputs < operation.inputs else (operation.inputs,)
    along_outputs = counts(operation.outputs, period) if outputs < operation.outputs else (operation.outputs,)
    return along_inputs, along_outputs
