"""How long work tells what it does: one interface, shown by the command line, silent from Python unless asked for."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more of the total are done; `note` stands beside the bar (a loss, a sample count)."""


class Progress(Protocol):
    """Shows tasks; `total` None where the amount of work is unknown."""

    def task(self, title: str, total: int | None = None) -> AbstractContextManager[Task]:
        """Shows a task for as long as the block runs."""


class Silent:
    """Shows nothing; both a Progress and a Task."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Counts nothing."""

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator["Silent"]:  # noqa: ARG002  the interface's names
        """Shows nothing for as long as the block runs."""
        yield self
