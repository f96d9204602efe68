"""From how often each block of code ran to instructions and cycles, for each layer."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from targets.base import Layer
from targets.microcontroller.cores import Core
from targets.microcontroller.decoders import DECODERS
from targets.microcontroller.decoders.base import Decoder
from targets.microcontroller.emulators.base import Counts
from targets.microcontroller.firmware import Firmware
from targets.microcontroller.sources import LayerCode, Sources
from targets.microcontroller.timing import TIMINGS
from targets.microcontroller.timing.base import Timing

RUNTIME = "runtime"
"""The row for what no layer owns: the calls of the layers, and copies to outputs."""


@dataclass(frozen=True)
class Cost:
    """Instructions executed, cycles by the core's published timings, cycles that the core waits for the flash, and how many of the
    instructions the decoder doesn't know."""

    instructions: int = 0
    cycles: int = 0
    wait_cycles: int = 0
    unknown: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.instructions + other.instructions,
            self.cycles + other.cycles,
            self.wait_cycles + other.wait_cycles,
            self.unknown + other.unknown,
        )

    def latency_ms(self, clock_hz: int) -> float:
        """All cycles at the board's clock."""
        return (self.cycles + self.wait_cycles) * 1000 / clock_hz


def by_owner(core: Core, firmware: Firmware, counts: Counts, wait_states: int = 0) -> dict[str, Cost]:
    """The cost of one inference, for each of the firmware's owners with what ran on its behalf: kernels that layers share, memcpy, ….

    Each read of the flash that missed its cache took `wait_states` cycles.
    """
    decoder: Decoder = DECODERS.load(core.decoder)()
    timing: Timing = TIMINGS.load(core.timing)(core.cycles)
    costs: defaultdict[str, Cost] = defaultdict(Cost)
    for block in counts.blocks:
        instructions = decoder.block(firmware.code_of(block.address, block.size))
        costs[block.owner or RUNTIME] += Cost(
            instructions=len(instructions) * block.executions,
            cycles=timing.cycles(instructions, block.executions, block.fallthroughs),
            wait_cycles=block.misses * wait_states,
            unknown=sum(instruction.operation == "unknown" for instruction in instructions) * block.executions,
        )
    return dict(costs)


def layers(sources: Sources, costs: Mapping[str, Cost], clock_hz: int | None) -> tuple[Layer, ...]:
    """A row for each layer, in the order in which they run, and one for the runtime; their sums are the whole inference's.

    Without a clock, latency isn't told.
    """
    owned = {layer.function for layer in sources.layers}
    rows = [_row(layer, costs.get(layer.function or "", Cost()), clock_hz) for layer in sources.layers]
    rest = sum((cost for function, cost in costs.items() if function not in owned), Cost())
    return (*rows, _row(LayerCode(None, RUNTIME, "RUNTIME", None, None, None), rest, clock_hz))


def _row(layer: LayerCode, cost: Cost, clock_hz: int | None) -> Layer:
    return Layer(
        name=layer.name,
        operator=layer.operator,
        macs=layer.macs,
        latency_ms=cost.latency_ms(clock_hz) if clock_hz else None,
        instructions=cost.instructions,
        cycles=cost.cycles,
        ram_bytes=layer.ram_bytes,
        flash_bytes=layer.flash_bytes,
    )
