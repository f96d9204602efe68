"""Progress for people: bars with a time left on a terminal, one line a finished task elsewhere. Always on standard error."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@dataclass
class _Bar:
    bars: Progress
    number: TaskID

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Moves the bar."""
        self.bars.update(self.number, advance=steps, note=note)


@dataclass
class _Line:
    note: str = ""

    def advance(self, steps: int = 1, note: str = "") -> None:  # noqa: ARG002  a line shows no steps
        """Keeps the last note for the line that is printed at the end."""
        self.note = note or self.note


class ConsoleProgress:
    """Shows tasks as they run, from any thread; tasks inside tasks stand below each other."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[note]}"))
        self.bars = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=self.console, transient=True)
        self.depth = 0
        self.lock = threading.RLock()

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[_Bar | _Line]:
        """A bar on a terminal, else a line; when the task is done the line stays with its seconds."""
        started = time.monotonic()
        shown: _Bar | _Line
        with self.lock:
            if self.console.is_terminal:
                shown = _Bar(self.bars, self.bars.add_task(title, total=total, note=""))
                self.bars.start()
            else:
                shown = _Line()
            self.depth += 1
        try:
            yield shown
        finally:
            with self.lock:
                self.depth -= 1
                note = self._close(shown)
        self.console.print(f"[green]done[/] {title}{f' ({note})' if note else ''} {time.monotonic() - started:.1f} s", highlight=False)

    def _close(self, shown: _Bar | _Line) -> str:
        if isinstance(shown, _Line):
            return shown.note
        note = next(str(task.fields["note"]) for task in self.bars.tasks if task.id == shown.number)
        self.bars.remove_task(shown.number)
        if self.depth == 0:
            self.bars.stop()
        return note
