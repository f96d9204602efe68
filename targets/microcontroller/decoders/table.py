"""Encodings of instructions as a text file, one a line: the bits, what the instruction is, and which registers it reads and writes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Encoding:
    """A line of a table: an instruction of `bits` matches where its bits under `mask` are `value`.

    `fields` are the positions of each letter's bits, highest first. `writes`, `reads`, `address` and `accumulator` name letters.
    """

    bits: int
    mask: int
    value: int
    fields: dict[str, tuple[int, ...]]
    operation: str
    writes: str
    reads: str
    address: str
    accumulator: str

    def field(self, word: int, letter: str) -> int:
        """A field's bits of an instruction, wherever they lie."""
        value = 0
        for bit in self.fields[letter]:
            value = value << 1 | (word >> bit & 1)
        return value


def read(*paths: Path) -> tuple[Encoding, ...]:
    """The encodings of these files in their order, which is that in which they are tried; lines of # are comments."""
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(_encoding(line) for line in lines if line and not line.startswith("#"))


def find(table: tuple[Encoding, ...], word: int, bits: int) -> Encoding | None:
    """The first encoding that an instruction of so many bits matches."""
    return next((row for row in table if row.bits == bits and word & row.mask == row.value), None)


def _encoding(line: str) -> Encoding:
    pattern, *columns = (part.strip() for part in line.split("|"))
    bits = pattern.replace(" ", "")
    mask = int("".join("1" if bit in "01" else "0" for bit in bits), 2)
    value = int("".join("1" if bit == "1" else "0" for bit in bits), 2)
    letters = {letter for letter in bits if letter not in "01x"}
    fields = {letter: tuple(len(bits) - 1 - i for i, bit in enumerate(bits) if bit == letter) for letter in letters}
    operation, writes, reads, address, accumulator = (*columns, "", "", "", "")[:5]
    return Encoding(len(bits), mask, value, fields, operation, writes, reads, address, accumulator)
