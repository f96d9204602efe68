"""Thumb and Thumb-2: the classes that instruction timings depend on, looked up in the table of encodings `thumb.txt`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from targets.microcontroller.decoders.base import Instruction

FLOAT_REGISTERS = 32
PROGRAM_COUNTER = 15
LINK_REGISTER = 14
FIRST_WIDE = 0xE800  # a first halfword from here on has a second


@dataclass(frozen=True)
class _Encoding:
    mask: int
    value: int
    fields: dict[str, tuple[int, ...]]
    operation: str
    writes: str
    reads: str
    address: str
    accumulator: str


class Thumb:
    """The decoder of Cortex-M cores, without MVE."""

    def block(self, code: bytes) -> tuple[Instruction, ...]:
        """The instructions of one block of straight-line code."""
        instructions = []
        position = 0
        while position < len(code):
            instruction = _decode(_word(code, position))
            instructions.append(instruction)
            position += instruction.size
        return tuple(instructions)


def _word(code: bytes, position: int) -> int:
    """The instruction at `position`: a halfword, or two with the first one on top."""
    first = int.from_bytes(code[position : position + 2], "little")
    if first < FIRST_WIDE:
        return first
    return first << 16 | int.from_bytes(code[position + 2 : position + 4], "little")


@cache
def _decode(word: int) -> Instruction:
    wide = word > 0xFFFF
    size = 4 if wide else 2
    encoding = next((row for row in _table()[wide] if word & row.mask == row.value), None)
    if encoding is None:
        return Instruction("unknown", size)
    writes = _registers(word, encoding, encoding.writes.removesuffix("!"))
    address = _registers(word, encoding, encoding.address)
    return Instruction(
        operation=encoding.operation,
        size=size,
        reads=_registers(word, encoding, encoding.reads),
        writes=tuple(register for register in writes if register != PROGRAM_COUNTER),
        address=address,
        accumulator=_registers(word, encoding, encoding.accumulator),
        base=address[:1] if encoding.writes.endswith("!") else (),
        words=_words(word, encoding),
        jumps=encoding.operation in {"branch", "branch_link", "table_branch"} or PROGRAM_COUNTER in writes,
    )


def _field(word: int, encoding: _Encoding, letter: str) -> int:
    """A field's bits, wherever they lie, highest first (for a floating-point register, whose lowest bit comes apart: see `_float`)."""
    value = 0
    for bit in encoding.fields[letter]:
        value = value << 1 | (word >> bit & 1)
    return value


def _registers(word: int, encoding: _Encoding, letters: str) -> tuple[int, ...]:
    found: list[int] = []
    for letter in letters:
        if letter == "l":
            found += _list(word, encoding)
        elif letter.isupper():
            found.append(FLOAT_REGISTERS + _float(word, encoding, letter))
        else:
            found.append(_field(word, encoding, letter))
    return tuple(found)


def _float(word: int, encoding: _Encoding, letter: str) -> int:
    """A single-precision register: four bits together and the lowest bit apart, on either side of them."""
    bits = encoding.fields[letter]
    four = next(i for i in (0, 1) if bits[i] - bits[i + 3] == 3)
    lowest = next(bit for bit in bits if bit not in bits[four : four + 4])
    value = 0
    for bit in (*bits[four : four + 4], lowest):
        value = value << 1 | (word >> bit & 1)
    return value


def _list(word: int, encoding: _Encoding) -> list[int]:
    """A register list; the ninth bit of PUSH is the link register and of POP the program counter."""
    bits = _field(word, encoding, "l")
    registers = [register for register in range(16) if bits >> register & 1]
    if len(encoding.fields["l"]) == 9 and 8 in registers:
        registers[-1] = PROGRAM_COUNTER if encoding.operation == "load_multiple" else LINK_REGISTER
    return registers


def _words(word: int, encoding: _Encoding) -> int:
    if "l" in encoding.fields:
        return len(_list(word, encoding))
    return _field(word, encoding, "w") if "w" in encoding.fields else 0


@cache
def _table() -> dict[bool, tuple[_Encoding, ...]]:
    """The encodings in the table's order, narrow and wide."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    rows = [_encoding(line) for line in lines if line and not line.startswith("#")]
    return {wide: tuple(row for row, is_wide in rows if is_wide is wide) for wide in (False, True)}


def _encoding(line: str) -> tuple[_Encoding, bool]:
    pattern, operation, writes, reads, address, accumulator = ([part.strip() for part in line.split("|")] + ["", ""])[:6]
    bits = pattern.replace(" ", "")
    mask = int("".join("1" if bit in "01" else "0" for bit in bits), 2)
    value = int("".join("1" if bit == "1" else "0" for bit in bits), 2)
    letters = {letter for letter in bits if letter not in "01x"}
    fields = {letter: tuple(len(bits) - 1 - i for i, bit in enumerate(bits) if bit == letter) for letter in letters}
    return _Encoding(mask, value, fields, operation, writes, reads, address, accumulator), len(bits) == 32
