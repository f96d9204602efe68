"""This machine: LiteRT's kernels, one operator a file, all taken in turn and again, in the time of the thread that computes."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from compress.staircase import files
from compress.staircase.files import Precision
from compress.staircase.operation import Operation
from targets.boards import Board

ROUNDS = 12
SPAN = 2e-4
"""Seconds for which an operator is repeated before the next one's turn."""
COPIES = 4
"""Of an operator in its file, so that the interpreter's own time hardly counts."""
NOTHING = Operation("add", (1, 1), 1, 1)


@dataclass(frozen=True)
class Clock:
    """Milliseconds. Rounds in which something else disturbed the machine are the slow ones, so the faster half of them counts."""

    board: Board
    precision: Precision
    unit = "ms"
    noise = 0.03
    batch = 400
    period = 16  # XNNPACK's widest tiles, on any processor, are of 16 channels or fewer

    @property
    def version(self) -> str:
        """LiteRT's, with the processor's features that its kernels are chosen by."""
        import ai_edge_litert

        return f"{self.board.name} {_processor()} ai-edge-litert {ai_edge_litert.__version__} {self.precision}"

    def time(self, operations: Sequence[Operation], done: Callable[[int], None]) -> list[float]:
        """Milliseconds for each operator, without what calling an interpreter takes."""
        every = [*operations, NOTHING]
        interpreters = [_interpreter(files.write([operation] * COPIES, self.precision)) for operation in every]
        repetitions = [max(1, round(SPAN / max(_seconds(each, 3), 1e-7))) for each in interpreters]
        rounds: list[list[float]] = [[] for _ in every]
        for number in range(ROUNDS):
            for row, interpreter, count in zip(rounds, interpreters, repetitions, strict=True):
                row.append(_seconds(interpreter, count))
            done(len(operations) * (number + 1) // ROUNDS - len(operations) * number // ROUNDS)
        *seconds, nothing = (statistics.median(sorted(row)[: ROUNDS // 2]) for row in rounds)
        return [max(each - nothing, 0.0) * 1000 / COPIES for each in seconds]


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return interpreter


def _seconds(interpreter: Any, repetitions: int) -> float:
    """Processor time of one inference: what other programs take of the machine isn't in it."""
    begin = time.thread_time()
    for _ in range(repetitions):
        interpreter.invoke()
    return (time.thread_time() - begin) / repetitions


def _processor() -> str:
    """The processor's model and features, where the system tells them."""
    import hashlib
    import platform
    from pathlib import Path

    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    told = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return f"{platform.machine()} {hashlib.sha256(repr((platform.processor(), told)).encode()).hexdigest()[:12]}"
