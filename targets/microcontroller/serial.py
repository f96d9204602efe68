"""One network on a real board: the packaged firmware runs every sample and counts its own cycles, over a serial line."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from targets import jobs
from targets.base import Array, Artifact, Batch, Latency, Layer, Measurement, RunOptions, Tensor
from targets.boards import Board
from targets.errors import TargetUnreachableError, UserError
from targets.microcontroller.compiled import as_c, kilobytes
from targets.microcontroller.line import Address, Line, connect
from targets.microcontroller.packaging import network_hash
from targets.microcontroller.sources import Sources, sample_bytes


def measure(artifact: Artifact, board: Board, batches: Iterable[Batch], options: RunOptions, device: str) -> Measurement:
    """Outputs of every sample from the board, and the cycles of one inference of the first one, over the repetitions.

    Raises TargetUnreachableError where the board doesn't answer, goes away or holds another network, UserError for a device, settings or
    samples that make no sense, ExportError for a file that can't be compiled.
    """
    address = Address.of(device)
    settings = jobs.settings(options, {"max_ram_kb": ()})
    if board.clock_hz is None:
        raise UserError(f"board {board.name}: cycles become a latency by clock_hz; add it to its YAML file")
    compiled = as_c(artifact, kilobytes(settings))
    with connect(address) as line:
        passed = _greet(line, artifact, compiled, address)
        parts, cycles = _run(line, artifact, jobs.limited(batches, options.samples), options)
    latency = _latency(cycles, board.clock_hz)
    energy_mj = board.power_w * latency.p50_ms if board.power_w and latency else None
    return Measurement(
        source="measured",
        runner=f"edgepress firmware on {board.core or board.name}, {address.port} at {address.baud} baud",
        outputs=parts,
        latency=latency,
        cycles=int(np.median(cycles)) if latency else None,
        energy_mj=energy_mj,
        energy_source=None if energy_mj is None else "estimated",
        layers=tuple(
            Layer(layer.name, layer.operator, macs=layer.macs, ram_bytes=layer.ram_bytes, flash_bytes=layer.flash_bytes)
            for layer in Sources.of(compiled).layers
        ),
        notes=tuple(_notes(board.clock_hz, passed, latency)),
        details={"samples": len(parts[0]), "self_test": passed},
    )


def _greet(line: Line, artifact: Artifact, compiled: Artifact, address: Address) -> bool:
    """Whether the firmware's own test passes, once it is known to be this network's."""
    found = line.greet()
    if found.hash != network_hash(compiled):
        cure = "flash the firmware built from this network's C, or profile the folder of C that is on the board"
        raise TargetUnreachableError(f"{address.port}: the board holds another network, '{found.name}', than {artifact.path}; {cure}")
    return found.passed


def _run(line: Line, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> tuple[tuple[Array, ...], list[int]]:
    """Outputs of every sample, and the cycles of each repetition of the first."""
    cycles: list[int] = []
    rows = []
    for sample in _samples(artifact, batches):
        for number, values in enumerate(sample):
            line.load(number, np.ascontiguousarray(values).tobytes())
        if not cycles:
            cycles = [line.run() for _ in range(options.warmup + options.repetitions)][options.warmup :]
        else:
            line.run()
        rows.append([_output(line, number, tensor) for number, tensor in enumerate(artifact.outputs)])
    if not rows:
        raise UserError(f"{artifact.path}: there is no sample to run it on")
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True)), cycles


def _samples(artifact: Artifact, batches: Iterable[Batch]) -> Iterator[Sequence[Array]]:
    for batch in batches:
        jobs.refuse_unfit(artifact, batch)
        yield from zip(*batch, strict=True)


def _output(line: Line, number: int, tensor: Tensor) -> Array:
    """One sample's, [1, …]."""
    return np.frombuffer(line.read(number, sample_bytes(tensor)), tensor.dtype).reshape(1, *tensor.shape[1:])


def _latency(cycles: Sequence[int], clock_hz: int) -> Latency | None:
    """None where the board's core has no counter."""
    return Latency.of([1000 * count / clock_hz for count in cycles]) if any(cycles) else None


def _notes(clock_hz: int, passed: bool, latency: Latency | None) -> Iterator[str]:
    if latency is None:
        yield "latency: not measured, since this core has no counter that the firmware knows; supply ep_cycles with a timer of the board"
    else:
        yield f"latency: cycles that the board counted, at the {clock_hz / 1e6:g} MHz of its description, which the firmware must set"
    if not passed:
        yield "the firmware's own test fails: its stored sample gives other bytes on the board than on the machine that exported it"
