"""Older x86-64 processors: this environment's own runtimes under QEMU's user mode, so that they choose the kernels of that processor."""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from targets import jobs
from targets.base import Artifact, Batch, Measurement, Problem, RunOptions
from targets.boards import Board
from targets.errors import UserError

CORES = {"haswell": "Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm"}
"""A processor's name to what QEMU is told: the model, less what user mode can't emulate and no kernel asks for."""
FIRST_WITH_AVX2 = (7, 2)


@dataclass(frozen=True)
class X86:
    """`.tflite` and `.onnx` files on the kernels that the runtimes choose on an x86-64 processor without VNNI.

    Every instruction is emulated, so outputs are those of such a processor; nothing is timed. Only on x86-64 Linux, where the
    runtimes that are installed can run under QEMU as they are. Setting `kernels` as for the host.
    """

    board: Board
    formats = ("tflite", "onnx")

    def available(self) -> Problem | None:
        """Whether this is x86-64 Linux and has a QEMU that knows AVX2."""
        if self.board.core not in CORES:
            return Problem(f"{self.board.name}: core '{self.board.core}' can't be emulated", f"possible: {', '.join(CORES)}")
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            return Problem(f"{self.board.name}: this machine's runtimes are not those of x86-64 Linux", "run it on such a machine")
        program = qemu()
        if program is None:
            return Problem("qemu-x86_64 is not installed", "run: sudo apt install qemu-user")
        if _version(program) < FIRST_WITH_AVX2:
            return Problem(f"{program} is older than 7.2 and emulates no AVX2", "install QEMU 7.2 or later (Debian 12: qemu-user)")
        return None

    def choose(self, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
        """Every `.tflite` and `.onnx` file."""
        return [artifact for artifact in artifacts if artifact.format in self.formats]

    def check(self, artifact: Artifact) -> Sequence[Problem]:
        """A format or a batch size that can't be run."""
        return jobs.problems(artifact, self.board.name, self.formats)

    def run(self, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
        """Runs every sample in one emulated process; warm-up, repetitions and threads of the options are for targets that measure.

        Raises ExportError where the runtime can't run the file, UserError for samples or settings that don't fit.
        """
        if options.device is not None:
            raise UserError(f"device: {self.board.name} is emulated on this machine and takes no device; leave '{options.device}' out")
        missing, program = self.available(), qemu()
        if missing is not None or program is None:
            return Measurement.missing(str(missing))
        chosen = jobs.settings(options, {"kernels": jobs.KERNELS})
        untimed = replace(options, warmup=0, repetitions=1, threads=1, layers=False, precision=None, min_seconds=0)
        with tempfile.TemporaryDirectory(prefix="edgepress-") as name:
            folder = Path(name)
            jobs.write(folder, artifact, batches, untimed, kernels=chosen["kernels"])
            result = jobs.execute([program, "-cpu", CORES[str(self.board.core)], sys.executable], folder, artifact)
            version = ".".join(map(str, _version(program)))
            return Measurement(
                source="emulated",
                runner=f"{result['runtime']}, {chosen['kernels']} kernels, threads: 1, {self.board.core} emulated by QEMU {version}",
                outputs=jobs.outputs(folder),
            )


def qemu() -> str | None:
    """Where QEMU's user mode for x86-64 is, if anywhere."""
    return shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")


@cache
def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return tuple(int(part) for part in said.split(".")[:2])
