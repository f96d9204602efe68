"""Microcontrollers: compiles to C, builds firmware, runs it on an emulated core that counts."""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from targets.base import Artifact, Batch, Measurement, Problem, RunOptions
from targets.boards import Board
from targets.errors import UserError
from targets.microcontroller import cores
from targets.microcontroller.emulators import EMULATORS

PACKAGES = {"unicorn": "unicorn", "ziglang": "ziglang", "elftools": "pyelftools"}
OPTIMIZATIONS = ("O2", "O3", "Os")


@dataclass(frozen=True)
class Microcontroller:
    """C, or a `.tflite` compiled to it, on a core emulated instruction by instruction; nothing but packages from pip is needed.

    (Cortex-M55 needs QEMU.) Instructions are exact and the same each time; cycles come from them by the core's published timings, and
    the latency, an estimate, from cycles at the board's clock. Settings: `optimization`, the C compiler's level, O2 (default), O3 or Os;
    `max_ram_kb`, the kilobytes that a `.tflite` file's arena may have, for which neighbouring layers run stripe by stripe.
    With a device, `serial://PORT?baud=115200`, all of it is measured on a board that runs the exported folder's example.
    """

    board: Board
    formats = ("c", "tflite")

    def available(self) -> Problem | None:
        """A core that can't be emulated, or a package or emulator that is missing from this machine."""
        if self.board.core not in cores.names():
            return Problem(f"{self.board.name}: core '{self.board.core}' can't be emulated", f"possible: {', '.join(cores.names())}")
        missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
        if missing:
            return Problem(f"{' and '.join(missing)} not installed", f"pip install {' '.join(missing)}")
        problem: Problem | None = EMULATORS.load(cores.load(self.board.core).emulator).missing()
        return problem

    def choose(self, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
        """The C sources if there are any, else the `.tflite` files, which are compiled to C here."""
        sources = [artifact for artifact in artifacts if artifact.format == "c"]
        return sources or [artifact for artifact in artifacts if artifact.format == "tflite"]

    def check(self, artifact: Artifact) -> Sequence[Problem]:
        """An operator or dtype that can't be compiled, or weights or arena too large for the board, by the first offender."""
        from targets.microcontroller import fit

        return fit.problems(artifact, self.board)

    def cautions(self, artifact: Artifact) -> Sequence[str]:
        """Layers of float32 on a core without a floating-point unit."""
        from targets.microcontroller import fit
        from targets.microcontroller.compiled import as_c
        from targets.microcontroller.sources import Sources

        return fit.cautions(Sources.of(as_c(artifact)), cores.load(self.board.core)) if self.board.core in cores.names() else []

    def run(self, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
        """Runs every sample for its outputs and counts one inference of the first; warm-up and repetitions matter on a device only.

        Without a device, all samples run in the same C on this machine where they are many; the first ones are confirmed on the emulated
        core. Raises UserError for samples or settings that don't fit and for a network that the board is too small for, ExportError for
        one that can't be compiled, EdgepressError where the emulated core differs from this machine, TargetUnreachableError where the
        device doesn't answer.
        """
        if options.device is not None:
            return self._run_on_device(artifact, batches, options, options.device)
        from targets import jobs
        from targets.microcontroller import fit
        from targets.microcontroller.compiled import kilobytes
        from targets.microcontroller.measure import Making, measure

        missing = self.available()
        if missing is not None or self.board.core is None:
            return Measurement.missing(str(missing))
        settings = jobs.settings(options, {"optimization": OPTIMIZATIONS, "max_ram_kb": ()})
        making = Making(f"-{settings['optimization']}", kilobytes(settings))
        found = fit.problems(artifact, self.board, making.max_ram_kb)
        if found:
            raise UserError(str(found[0]))
        samples = jobs.limited(batches, options.samples)
        return measure(artifact, self.board, cores.load(self.board.core), samples, making)

    def _run_on_device(self, artifact: Artifact, batches: Iterable[Batch], options: RunOptions, device: str) -> Measurement:
        from targets.microcontroller import serial

        if importlib.util.find_spec("serial") is None:
            return Measurement.missing("pyserial is not installed; run: pip install 'edgepress[serial]'")
        return serial.measure(artifact, self.board, batches, options, device)
