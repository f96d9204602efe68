"""One network on one emulated core: outputs of every sample, exact counts, estimated time, RAM and flash."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from targets.base import Array, Artifact, Batch, Latency, Measurement
from targets.boards import Board
from targets.errors import EdgepressError, UserError
from targets.microcontroller import firmware, fit, flash, profile, tflm, toolchain
from targets.microcontroller.compiled import as_c
from targets.microcontroller.cores import Core
from targets.microcontroller.emulators import EMULATORS
from targets.microcontroller.emulators.base import Counts, Emulator
from targets.microcontroller.firmware import Firmware
from targets.microcontroller.flash import Flash
from targets.microcontroller.native import Native
from targets.microcontroller.profile import Cost
from targets.microcontroller.sources import Sources

EMULATED_WHOLE = 32
"""Up to so many samples all run on the emulated core."""
CONFIRMED = 16
"""Of more, so many do; the rest run in the same C built for this machine."""


@dataclass(frozen=True)
class Making:
    """How firmware is made of a file: the C compiler's level, such as -O2, and the arena's limit, for layers to run in stripes."""

    optimization: str
    max_ram_kb: float | None = None


def measure(artifact: Artifact, board: Board, core: Core, batches: Iterable[Batch], making: Making) -> Measurement:
    """Runs every sample of a file on this machine and some of them on the emulated core; counts the first one there.

    Raises UserError where the network doesn't fit the board or there is no sample, EdgepressError where core and machine differ.
    """
    clock_hz, flash_bytes, ram_bytes = board.clock_hz, board.flash_bytes, board.ram_bytes
    if clock_hz is None or flash_bytes is None or ram_bytes is None:
        raise UserError(f"board {board.name}: a microcontroller board needs clock_hz, flash_bytes and ram_bytes; add them to its YAML file")
    compiled = as_c(artifact, making.max_ram_kb)
    sources, described = Sources.of(compiled), flash.of(board)
    built = firmware.build(sources, core, flash_bytes, ram_bytes, making.optimization)
    emulator: Emulator = EMULATORS.load(core.emulator)(core, built, ram_bytes)
    outputs, kept = _native_outputs(artifact, Native(artifact, sources), batches)
    samples = len(outputs[0])
    emulated = kept if samples <= EMULATED_WHOLE else kept[:CONFIRMED]
    counts = _confirmed(emulator, artifact, emulated, outputs, described)
    costs = profile.by_owner(core, built, counts[0], described.flash_wait_states if described else 0)
    total = sum(costs.values(), Cost())
    ram = _ram(sources, built, max(count.stack_bytes for count in counts), ram_bytes)
    taken = _flash(sources, built, flash_bytes)
    compared = tflm.beside(artifact, sources.buffer_bytes)
    latency_ms = total.latency_ms(clock_hz)
    energy_mj = board.power_w * latency_ms if board.power_w else None
    return Measurement(
        source="emulated",
        runner=f"{emulator.version} {core.name}, {toolchain.compiler_name()} {making.optimization}",
        outputs=outputs,
        latency=Latency(latency_ms, latency_ms, 1, "estimated"),
        instructions=total.instructions,
        cycles=total.cycles,
        ram_bytes=ram_bytes - ram["left"],
        flash_bytes=flash_bytes - taken["left"],
        energy_mj=energy_mj,
        energy_source=None if energy_mj is None else "estimated",
        layers=profile.layers(sources, costs, clock_hz),
        notes=(
            *_notes(core, described, samples, len(emulated), total),
            *fit.cautions(sources, core),
            *_stripes(compiled.details["stripes"]),
            *tflm.notes(compared),
        ),
        details={
            "core": core.name,
            "samples": samples,
            "emulated_samples": len(emulated),
            "wait_cycles": total.wait_cycles if described else None,
            "ram": ram,
            "flash": taken,
            "tflm": compared,
            "memory_plan": compiled.details["memory_plan"],
            "stripes": compiled.details["stripes"],
        },
    )


def _native_outputs(artifact: Artifact, network: Native, batches: Iterable[Batch]) -> tuple[tuple[Array, ...], list[Batch]]:
    """Outputs of every sample by the same C on this machine, and the first samples by themselves."""
    kept: list[Batch] = []
    parts = []
    for batch in batches:
        parts.append(network(batch))
        wanted = min(EMULATED_WHOLE - len(kept), len(batch[0]))
        kept += [tuple(values[sample] for values in batch) for sample in range(wanted)]
    if not kept:
        raise UserError(f"{artifact.path}: there is no sample to run it on")
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True)), kept


def _confirmed(
    emulator: Emulator, artifact: Artifact, samples: Sequence[Batch], outputs: Sequence[Array], described: Flash | None
) -> list[Counts]:
    """The counts of the first samples, whose output bytes on the core must be this machine's; of the very first with its flash reads."""
    found = []
    for sample, inputs in enumerate(samples):
        given, counts = emulator.count(inputs, described if sample == 0 else None)
        if given != tuple(output[sample].tobytes() for output in outputs):
            words = f"{artifact.path}: sample {sample} gives other bytes on the emulated core than on this machine"
            raise EdgepressError(f"{words}; report it with the file")
        found.append(counts)
    return found


def _ram(sources: Sources, built: Firmware, stack_bytes: int, available: int) -> dict[str, int]:
    """Where RAM goes, in bytes: `other` is variables and alignment."""
    parts = {"arena": sources.arena_bytes, "inputs": sum(sources.input_bytes), "outputs": sum(sources.output_bytes)}
    parts["other"] = built.static_ram_bytes - sum(parts.values())
    parts["stack"] = stack_bytes
    return {**parts, "left": available - sum(parts.values())}


def _flash(sources: Sources, built: Firmware, available: int) -> dict[str, int]:
    """Where flash goes, in bytes: `code` is the network's own, `runtime` the compiler's helpers and the call of the network."""
    code = sum(symbol.size for symbol in built.functions if symbol.name.startswith(f"{sources.name}_"))
    parts = {"code": code, "runtime": len(built.code) - code, "constants": len(built.constants), "variables": len(built.data)}
    return {**parts, "left": available - sum(parts.values())}


def _stripes(stripes: dict[str, int] | None) -> Iterable[str]:
    if stripes is not None:
        cost = f"{stripes['moved_bytes']:,} bytes are moved for that, {stripes['extra_macs']} MACs done twice"
        yield f"RAM: layers {stripes['first']} to {stripes['last']} run in {stripes['count']} stripes; {cost}"


def _notes(core: Core, described: Flash | None, samples: int, emulated: int, total: Cost) -> Iterable[str]:
    yield f"cycles: instructions counted at published timings ({core.sources['cycles']}); {core.caveat}"
    if described is None:
        yield "latency: cycles at the board's clock; what the core waits for the flash is not described for this board and left out"
    else:
        yield f"latency: cycles, and {total.wait_cycles:,} more that the core waits for the flash, at the board's clock"
    yield "RAM and flash: the network's own (arena, inputs, outputs, stack; code and constants), without start-up code and drivers"
    if emulated < samples:
        yield f"outputs: the same C on this machine; the first {emulated} of {samples} samples gave the same bytes on the emulated core"
    if total.unknown:
        yield f"{total.unknown:,} of {total.instructions:,} instructions are not in the timing table and count as one cycle each"
