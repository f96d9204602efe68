"""What an emulator gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from targets.base import Problem
from targets.microcontroller.flash import Flash

PAINT = b"\xa5"
"""Fills the stack before a run, so that what it touched can be told."""


@dataclass(frozen=True)
class Block:
    """Straight-line code as the emulator saw it: where, how often it ran, how often its last branch was not taken.

    `owner` is the function on whose behalf it ran: the last of the firmware's `owners` that the core was in; None before the first.
    Code that several share has a block for each. `misses` are the reads of the flash, for instructions and constants, that had to wait
    while it ran.
    """

    owner: str | None
    address: int
    size: int
    executions: int
    fallthroughs: int
    misses: int


@dataclass(frozen=True)
class Counts:
    """What one inference executed, and the deepest stack that it used."""

    blocks: tuple[Block, ...]
    stack_bytes: int


class Emulator(Protocol):
    """A core with a firmware loaded; constructed with the core, the firmware and the board's RAM in bytes."""

    @staticmethod
    def missing() -> Problem | None:
        """What of this machine is missing for it to work, besides packages from pip; None when nothing is."""

    @property
    def version(self) -> str:
        """Name and version of the software."""

    def infer(self, inputs: Sequence[NDArray[Any]]) -> tuple[bytes, ...]:
        """Runs one sample, an array for each input; the bytes of each output. EdgepressError when the core stops on a fault."""

    def count(self, inputs: Sequence[NDArray[Any]], flash: Flash | None = None) -> tuple[tuple[bytes, ...], Counts]:
        """The same, and what it took (misses only of a flash that is given). UserError where the stack doesn't fit into the RAM."""
