"""Ethos-U NPUs beside a Cortex-M: what Arm's own compiler, vela, estimates for a network. Nothing runs here, so there are no outputs."""

import csv
import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from targets import jobs
from targets.base import Artifact, Batch, Latency, Layer, Measurement, Problem, RunOptions
from targets.boards import Board
from targets.errors import ExportError, UserError
from targets.formats import tflite

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
"""Operators that may stand at the edges of an integer network; they stay on the CPU."""
KIB = 1024
LIMIT_SECONDS = 600
Row = dict[str, str]


@dataclass(frozen=True)
class EthosU:
    """`.tflite` files by vela's estimates. The board's core is vela's accelerator configuration (`ethos-u55-128`); its model has
    `system_config` and `memory_mode`, sections of vela's own `Arm/vela.ini`, which say how fast the memories are."""

    board: Board
    formats = ("tflite",)

    def available(self) -> Problem | None:
        """Whether vela is installed."""
        if importlib.util.find_spec("ethosu") is None:
            return Problem("ethos-u-vela is not installed", "pip install 'edgepress[ethos-u]'")
        return None

    def choose(self, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
        """Every `.tflite` file."""
        return [artifact for artifact in artifacts if artifact.format in self.formats]

    def check(self, artifact: Artifact) -> Sequence[Problem]:
        """An operator that computes floating-point numbers, or a file larger than the flash, by the first offender."""
        found = jobs.problems(artifact, self.board.name, self.formats)
        if artifact.format not in self.formats:
            return found
        graph = tflite.load(artifact.path)
        for operator in graph.operators:
            dtypes = {graph.tensors[index].dtype for index in operator.inputs if index >= 0}
            if operator.name not in CONVERSIONS and any(dtype.startswith("float") for dtype in dtypes):
                reason = (
                    f"{artifact.path}: operator {operator.index} ({operator.name}) computes floating-point numbers, an Ethos-U integers"
                )
                found.append(Problem(reason, "quantize the network to int8 (pass quantize) and export it again"))
                break
        if self.board.flash_bytes is not None and artifact.bytes > self.board.flash_bytes:
            reason = f"{artifact.path}: {artifact.bytes:,} bytes don't fit {self.board.name}'s {self.board.flash_bytes:,} bytes of flash"
            found.append(Problem(reason, "prune channels or choose a board with more flash"))
        return found

    def run(self, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
        """Compiles the file with vela and gives its estimates for one inference; the samples are not looked at.

        Raises UserError for settings that don't fit and where the SRAM is too small, ExportError where vela can't compile the file.
        """
        del batches
        missing = self.available()
        if missing is not None:
            return Measurement.missing(str(missing))
        if options.device is not None:
            raise UserError(f"device: {self.board.name} is estimated and takes no device; leave '{options.device}' out")
        jobs.settings(options, {})
        problems = self.check(artifact)
        if problems:
            raise UserError(str(problems[0]))
        with tempfile.TemporaryDirectory(prefix="edgepress-") as name:
            return self._measurement(artifact, *_compile(artifact, self.board, Path(name)))

    def _measurement(self, artifact: Artifact, summary: Row, rows: list[Row], flash_bytes: int) -> Measurement:
        ram_bytes = round(float(summary["sram_memory_used"]) * KIB)
        if self.board.ram_bytes is not None and ram_bytes > self.board.ram_bytes:
            words = f"{artifact.path}: vela plans {ram_bytes:,} bytes of SRAM, {self.board.name} has {self.board.ram_bytes:,}"
            raise UserError(f"{words}; prune channels, make the input smaller or choose a board with more RAM")
        cycles = int(float(summary["cycles_total"]))
        layers = tuple(self._layer(row) for row in rows if row["Target"] == "CPU" or int(row["Op Cycles"]))
        latency_ms = self._milliseconds(cycles) if cycles else None
        fallbacks = [f"{row['Original Operator']} '{row['Name'][:80]}'" for row in rows if row["Target"] == "CPU"]
        return Measurement(
            source="estimated",
            runner=f"vela {version('ethos-u-vela')}, {self.board.core}, {summary['system_config']}, {summary['memory_mode']}",
            latency=None if latency_ms is None else Latency(latency_ms, latency_ms, 1, "estimated"),
            cycles=cycles or None,
            ram_bytes=ram_bytes or None,
            flash_bytes=flash_bytes,
            layers=layers,
            notes=tuple(_notes(fallbacks)),
            details={"cpu_operators": fallbacks, "npu_weight_bytes": int(float(summary["total_npu_encoded_weights"]))},
        )

    def _layer(self, row: Row) -> Layer:
        """One of the NPU's operations (a layer may take several), or an operator that stays on the CPU."""
        original, on_cpu = row["Original Operator"], row["Target"] == "CPU"
        part = "on the CPU" if on_cpu else row["NNG Operator"]
        cycles = None if on_cpu else int(row["Op Cycles"])
        return Layer(
            name=row["Name"],
            operator=original if part == original else f"{original}: {part}",
            macs=None if on_cpu else int(row["MAC Count"]),
            latency_ms=None if cycles is None else self._milliseconds(cycles),
            cycles=cycles,
            ram_bytes=None if on_cpu else int(row["Staging Usage"]),
        )

    def _milliseconds(self, cycles: int) -> float | None:
        return cycles * 1000 / self.board.clock_hz if self.board.clock_hz else None


def _notes(fallbacks: Sequence[str]) -> Iterable[str]:
    yield "cycles and RAM: estimated by Arm's compiler vela; latency: the NPU's cycles at the board's clock; flash: the compiled file"
    yield "outputs and accuracy: none, since nothing runs; measure the same file's accuracy on the host"
    if fallbacks:
        yield f"operators that stay on the CPU, and whose time is left out: {', '.join(fallbacks)}"


def _compile(artifact: Artifact, board: Board, folder: Path) -> tuple[Row, list[Row], int]:
    """What vela's CSV files say: the summary, a row for each operation, and the bytes of the compiled file."""
    shutil.copyfile(artifact.path, folder / "network.tflite")
    command = [sys.executable, "-m", "ethosu.vela", "network.tflite", "--output-dir", "out", "--verbose-performance"]
    command += ["--config", "Arm/vela.ini", "--accelerator-config", str(board.core)]
    for key in ("system_config", "memory_mode"):
        if key not in board.model:
            raise UserError(f"board {board.name}: model.{key} is missing; name a section of vela's Arm/vela.ini")
        command += [f"--{key.replace('_', '-')}", str(board.model[key])]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise ExportError(f"{artifact.path}: vela did not end within {LIMIT_SECONDS} s; prune the network") from None
    compiled, summaries = folder / "out" / "network_vela.tflite", list((folder / "out").glob("network_summary_*.csv"))
    if done.returncode or not summaries or not compiled.exists():
        raise ExportError(f"{artifact.path}: vela can't compile it: {_last_words(done)}; export it again")
    return _rows(summaries[0])[0], _rows(folder / "out" / "network_per-layer.csv"), compiled.stat().st_size


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode < 0:
        return f"it was ended by {signal.Signals(-done.returncode).name}"
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return said[-1] if said else f"exit code {done.returncode}"


def _rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
