"""A board's flash as the core sees it: a bus, wait states, and the caches in front of it."""

from dataclasses import dataclass, fields

from targets.boards import Board
from targets.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Flash:
    """Keys of a board's `model`, all in one or none.

    A read of `flash_bus_bytes` that the cache doesn't hold waits `flash_wait_states` cycles of the core. The caches, for
    instructions and for constants, are taken as fully associative without prefetch; 0 bytes is none, so that only the last read is held.
    """

    flash_wait_states: int
    flash_bus_bytes: int
    instruction_cache_bytes: int
    data_cache_bytes: int

    @property
    def instruction_lines(self) -> int:
        """How many reads of instructions are held."""
        return max(self.instruction_cache_bytes // self.flash_bus_bytes, 1)

    @property
    def data_lines(self) -> int:
        """How many reads of constants are held."""
        return max(self.data_cache_bytes // self.flash_bus_bytes, 1)


def of(board: Board) -> Flash | None:
    """The board's flash, None where it isn't described. UserError for a key of `model` that is unknown, missing or no whole number."""
    if not board.model:
        return None
    known = [entry.name for entry in fields(Flash)]
    for key in board.model:
        if key not in known:
            raise UserError(f"board {board.name}: model has no key '{key}'; {did_you_mean(key, known)}")
    for key in known:
        value = board.model.get(key)
        if not isinstance(value, int) or value < (key == "flash_bus_bytes"):
            raise UserError(f"board {board.name}: model.{key} must be a whole number, not {value!r}")
    return Flash(**board.model)
