"""Raspberry Pi boards: measured over SSH, or the runtimes' own aarch64 builds under QEMU, with exact instruction counts."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from targets import jobs
from targets.base import Artifact, Batch, Measurement, Problem, RunOptions
from targets.boards import Board
from targets.raspberry_pi import device, emulator, estimate, operators
from targets.raspberry_pi.device_setup import setup_device
from targets.raspberry_pi.root import SETUP, installed, setup

__all__ = ["RaspberryPi", "setup", "setup_device"]


@dataclass(frozen=True)
class RaspberryPi:
    """Files on the board that the user names (`device: ssh://user@host`, see `device`), else on its core emulated by QEMU's user mode.

    Emulated, these are the kernels that the core would run, instruction by instruction.
    Outputs are those of the runtime's aarch64 kernels for this core, and instructions of one inference and of each operator are counted
    (of an `.onnx` file: see `operators`), all the same each time. The latency is an estimate from that (see `estimate`); RAM isn't known.
    Setting `kernels` as for the host.
    """

    board: Board
    formats = ("tflite", "onnx")

    def available(self) -> Problem | None:
        """Whether QEMU and the root file system with the runtimes are on this machine: what emulating needs."""
        if self.board.core not in emulator.CORES:
            return Problem(f"{self.board.name}: core '{self.board.core}' can't be emulated", f"possible: {', '.join(emulator.CORES)}")
        if emulator.qemu() is None:
            return Problem("qemu-aarch64 is not installed", f"run: sudo apt install qemu-user && {SETUP}")
        if installed() is None:
            return Problem("the arm64 root file system is not set up", f"run: {SETUP}")
        return None

    def choose(self, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
        """Every `.tflite` and `.onnx` file."""
        return [artifact for artifact in artifacts if artifact.format in self.formats]

    def check(self, artifact: Artifact) -> Sequence[Problem]:
        """A format or a batch size that can't be run, or a file larger than the board's memory."""
        found = jobs.problems(artifact, self.board.name, self.formats)
        if self.board.ram_bytes is not None and artifact.bytes > self.board.ram_bytes:
            reason = f"{artifact.path}: {artifact.bytes} bytes don't fit the {self.board.ram_bytes} bytes of {self.board.name}'s memory"
            found.append(Problem(reason, "quantize or prune it"))
        return found

    def run(self, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
        """Measures on the device that is named; else runs every sample in one emulated process and counts one inference's instructions.

        Warm-up, repetitions and threads of the options are for devices that measure: counts need two and three, and one thread.
        Raises ExportError where the runtime can't run the file, UserError for samples or settings that don't fit,
        TargetUnreachableError where a named device can't be reached.
        """
        if options.device is not None:
            return device.measure(self.board, artifact, batches, options)
        missing = self.available()
        if missing is not None:
            return Measurement.missing(str(missing))
        chosen = jobs.settings(options, {"kernels": jobs.KERNELS})
        counting = RunOptions(emulator.WARMUP, emulator.REPETITIONS, 1, options.samples, layers=options.layers, energy=False)
        onnx = artifact.format == "onnx"
        machine = emulator.prepare(str(self.board.core), artifact.format)
        with tempfile.TemporaryDirectory(prefix="edgepress-") as name:
            folder = Path(name)
            entries = {"kernels": chosen["kernels"], "profile": onnx and options.layers, "mark": True}
            if onnx:
                (folder / operators.PRACTICE).write_bytes(operators.practice())
                entries["practice"] = operators.PRACTICE
            jobs.write(folder, artifact, batches, counting, **entries)
            result = jobs.execute(machine.command, folder, artifact, machine.environment)
            instructions, *parts = machine.instructions(folder, result["parts"]) or [None]
            if onnx:
                layers = operators.layers(result["layers"], machine.operators(folder), instructions)
                told = operators.note(layers)
            else:
                layers = jobs.layers(artifact, result, parts)
                told = jobs.sum_note(layers, None, instructions)
            guess = estimate.latency(self.board, artifact, instructions)
            return Measurement(
                source="emulated",
                runner=f"{result['runtime']}, {chosen['kernels']} kernels, threads: 1, {machine.title}",
                outputs=jobs.outputs(folder),
                latency=guess.latency if guess else None,
                instructions=instructions,
                energy_mj=guess.energy_mj if guess else None,
                energy_source="estimated" if guess and guess.energy_mj is not None else None,
                layers=layers,
                notes=(*machine.notes, *(guess.notes if guess else ()), *told),
                details=guess.details if guess else {},
            )
