"""RV32IMC: the classes that instruction timings depend on, looked up in the table of encodings `riscv.txt`."""

from functools import cache
from pathlib import Path

from targets.microcontroller.decoders import table
from targets.microcontroller.decoders.base import Instruction
from targets.microcontroller.decoders.table import Encoding

SHORT_REGISTERS = {"e": 8, "f": 8}
"""Letters of fields of three bits, and their first register."""
FIXED_REGISTERS = {"1": 1, "2": 2}
JUMPS = {"branch", "jump"}


class Riscv:
    """The decoder of 32-bit cores; an instruction has four bytes where its lowest two bits are set (RISC-V ISA manual, volume I, 1.5)."""

    def block(self, code: bytes) -> tuple[Instruction, ...]:
        """The instructions of one block of straight-line code."""
        instructions = []
        position = 0
        while position < len(code):
            size = 4 if code[position] & 3 == 3 else 2
            instructions.append(_decode(int.from_bytes(code[position : position + size], "little"), size))
            position += size
        return tuple(instructions)


@cache
def _decode(word: int, size: int) -> Instruction:
    encoding = table.find(_encodings(), word, 8 * size)
    if encoding is None:
        return Instruction("unknown", size)
    return Instruction(
        operation=encoding.operation,
        size=size,
        reads=_registers(word, encoding, encoding.reads),
        writes=tuple(register for register in _registers(word, encoding, encoding.writes) if register),
        address=_registers(word, encoding, encoding.address),
        jumps=encoding.operation in JUMPS,
    )


def _registers(word: int, encoding: Encoding, letters: str) -> tuple[int, ...]:
    return tuple(
        FIXED_REGISTERS[letter] if letter in FIXED_REGISTERS else SHORT_REGISTERS.get(letter, 0) + encoding.field(word, letter)
        for letter in letters
    )


@cache
def _encodings() -> tuple[Encoding, ...]:
    return table.read(Path(__file__).with_suffix(".txt"))
