"""What a clock is."""

from collections.abc import Callable, Sequence
from typing import Protocol

from compress.staircase.files import Precision
from compress.staircase.operation import Operation
from targets.boards import Board


class Clock(Protocol):
    """Times operators on one board; constructed with the board and the precision of the files."""

    def __init__(self, board: Board, precision: Precision) -> None:
        """For files of this precision on this board."""

    @property
    def board(self) -> Board:
        """The board."""

    @property
    def unit(self) -> str:
        """What the costs are in: `ms`, or `instructions` where the core's timings aren't known."""

    @property
    def noise(self) -> float:
        """Costs nearer to each other than this share count as the same."""

    @property
    def batch(self) -> int:
        """How many operators are timed at a time, so that what is known is kept if the work is cut off."""

    @property
    def version(self) -> str:
        """What the costs depend on besides the operator: board, runtime and version."""

    @property
    def period(self) -> int:
        """A number of channels that the target's kernels take at a time, or a multiple of it."""

    def time(self, operations: Sequence[Operation], done: Callable[[int], None]) -> list[float]:
        """The cost of each operator; `done` is told how many more are timed."""
