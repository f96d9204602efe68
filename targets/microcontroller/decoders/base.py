"""What a decoder gives."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Instruction:
    """One instruction as its timing sees it.

    `operation` is its class (`alu`, `load`, `multiply_accumulate`, …; `unknown` where the decoder doesn't know it). `reads` and
    `writes` are register numbers (floating-point ones from 32, vectors from 64), `address` those read to form an address, `accumulator`
    those that are added to, `base` the address register that is written back. `words` is how many registers it loads or stores. `jumps`
    is set where it may write the program counter.
    """

    operation: str
    size: int
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    address: tuple[int, ...] = ()
    accumulator: tuple[int, ...] = ()
    base: tuple[int, ...] = ()
    words: int = 0
    jumps: bool = False


class Decoder(Protocol):
    """An instruction set."""

    def block(self, code: bytes) -> tuple[Instruction, ...]:
        """The instructions of one block of straight-line code."""
