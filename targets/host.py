"""This machine: `.tflite` files on LiteRT, `.onnx` files on ONNX Runtime, C sources compiled for it. Everything is measured."""

import importlib.util
import platform
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from targets import jobs
from targets.base import Artifact, Batch, Measurement, Problem, RunOptions
from targets.boards import Board
from targets.errors import UserError

PACKAGES = {"ai_edge_litert": "ai-edge-litert", "onnxruntime": "onnxruntime"}


@dataclass(frozen=True)
class Host:
    """Files on this machine's own runtimes, in a process of their own; C sources, for their outputs only, in this process.

    Setting `kernels`, not for C: `default` (LiteRT's XNNPACK, ONNX Runtime with all its fusions), `reference` (LiteRT's reference
    kernels, ONNX Runtime without graph optimizations) or `precise` (`default`, and ONNX Runtime's slower kernels on x86 without VNNI,
    in which no sum of integers saturates).
    """

    board: Board
    formats = ("tflite", "onnx", "c")

    def available(self) -> Problem | None:
        """The runtime's package that is missing from this Python environment, if any."""
        missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
        return Problem(f"{' and '.join(missing)} not installed", f"pip install {' '.join(missing)}") if missing else None

    def choose(self, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
        """Every `.tflite` and `.onnx` file; C sources where there is nothing else."""
        files = [artifact for artifact in artifacts if artifact.format in ("tflite", "onnx")]
        return files or [artifact for artifact in artifacts if artifact.format == "c"]

    def check(self, artifact: Artifact) -> Sequence[Problem]:
        """A format or a batch size that can't be run here."""
        return jobs.problems(artifact, self.board.name, self.formats)

    def run(self, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
        """Runs every sample and times the first one.

        Raises ExportError where the runtime can't run the file, UserError for samples or settings that don't fit.
        """
        if options.device is not None:
            raise UserError(f"device: {self.board.name} is this machine and takes no device; leave '{options.device}' out")
        if artifact.format == "c":
            return _run_c(artifact, batches, options)
        chosen = jobs.settings(options, {"kernels": jobs.KERNELS})
        with tempfile.TemporaryDirectory(prefix="edgepress-") as name:
            folder = Path(name)
            jobs.write(folder, artifact, batches, options, kernels=chosen["kernels"])
            result = jobs.execute([sys.executable], folder, artifact)
            latency, layers = jobs.latency(result), jobs.layers(artifact, result)
            return Measurement(
                source="measured",
                runner=f"{result['runtime']}, {chosen['kernels']} kernels, threads: {options.threads}, {platform.machine()}",
                outputs=jobs.outputs(folder),
                latency=latency,
                ram_bytes=result["ram_bytes"],
                **jobs.energy(result),
                layers=layers,
                notes=(
                    *jobs.memory_note(result),
                    *jobs.notes(latency, options),
                    *jobs.sum_note(layers, latency),
                    *jobs.core_note(result),
                    *jobs.energy_note(result),
                ),
                details={"load_ms": result["load_ms"], "energy": result["energy"]},
            )


def _run_c(artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
    """Outputs of the C sources; what they cost is for the microcontroller that they are meant for."""
    from targets.microcontroller import native, toolchain

    jobs.settings(options, {})
    outputs = native.run(artifact, jobs.limited(batches, options.samples))
    return Measurement(source="measured", runner=f"{toolchain.compiler_name()}, {platform.machine()}", outputs=outputs)
