"""A microcontroller's core, emulated: the C that our compiler makes of operators, counted exactly."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.staircase import files
from compress.staircase.files import Precision
from compress.staircase.operation import Operation
from targets import formats
from targets.boards import Board
from targets.microcontroller import cores
from targets.microcontroller.compiled import compiler_digest
from targets.microcontroller.operator_costs import count
from targets.microcontroller.toolchain import compiler_name


@dataclass(frozen=True)
class Clock:
    """Milliseconds at the board's clock, flash waits included; instructions where the core's timings aren't known."""

    board: Board
    precision: Precision
    noise = 0.002
    batch = 24
    period = 4  # the kernels' loops are over 4 or 2 channels

    @property
    def unit(self) -> str:
        """By what the core's file knows."""
        timed = self.board.core in cores.names() and cores.load(str(self.board.core)).timing
        return "ms" if timed else "instructions"

    @property
    def version(self) -> str:
        """The board's data, the C compiler's and our own."""
        return f"{self.board} {compiler_name()} {compiler_digest()[:24]} {self.precision}"

    def time(self, operations: Sequence[Operation], done: Callable[[int], None]) -> list[float]:
        """The cost of each operator, all of them in one firmware."""
        with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
            path = Path(folder) / "operators.tflite"
            path.write_bytes(files.write(operations, self.precision))
            rows = count(formats.read(path), self.board)
        done(len(operations))
        return [float((row.latency_ms if self.unit == "ms" else row.instructions) or 0.0) for row in rows]
