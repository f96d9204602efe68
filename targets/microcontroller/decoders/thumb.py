"""Thumb, Thumb-2 and MVE: the classes that instruction timings depend on, looked up in the encodings of `mve.txt` and `thumb.txt`."""

from functools import cache
from pathlib import Path

from targets.microcontroller.decoders import table
from targets.microcontroller.decoders.base import Instruction
from targets.microcontroller.decoders.table import Encoding

FLOAT_REGISTERS = 32
VECTOR_REGISTERS = 64
VECTOR_LETTERS = "quv"
JUMPS = {"branch", "branch_link", "table_branch", "loop_end"}
PROGRAM_COUNTER = 15
LINK_REGISTER = 14
FIRST_WIDE = 0xE800  # a first halfword from here on has a second


class Thumb:
    """The decoder of Cortex-M cores.

    What Armv8.1-M adds comes first: its encodings have no meaning in earlier cores, or one that is never generated.
    """

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
    encoding = table.find(_encodings(), word, 8 * size)
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
        jumps=encoding.operation in JUMPS or PROGRAM_COUNTER in writes,
    )


def _registers(word: int, encoding: Encoding, letters: str) -> tuple[int, ...]:
    found: list[int] = []
    for letter in letters:
        if letter == "l":
            found += _list(word, encoding)
        elif letter in VECTOR_LETTERS:
            found.append(VECTOR_REGISTERS + encoding.field(word, letter))
        elif letter.isupper():
            found.append(FLOAT_REGISTERS + _float(word, encoding, letter))
        else:
            found.append(encoding.field(word, letter))
    return tuple(found)


def _float(word: int, encoding: Encoding, letter: str) -> int:
    """A single-precision register: four bits together and the lowest bit apart, on either side of them."""
    bits = encoding.fields[letter]
    four = next(i for i in (0, 1) if bits[i] - bits[i + 3] == 3)
    lowest = next(bit for bit in bits if bit not in bits[four : four + 4])
    value = 0
    for bit in (*bits[four : four + 4], lowest):
        value = value << 1 | (word >> bit & 1)
    return value


def _list(word: int, encoding: Encoding) -> list[int]:
    """A register list; the ninth bit of PUSH is the link register and of POP the program counter."""
    bits = encoding.field(word, "l")
    registers = [register for register in range(16) if bits >> register & 1]
    if len(encoding.fields["l"]) == 9 and 8 in registers:
        registers[-1] = PROGRAM_COUNTER if encoding.operation == "load_multiple" else LINK_REGISTER
    return registers


def _words(word: int, encoding: Encoding) -> int:
    if "l" in encoding.fields:
        return len(_list(word, encoding))
    return encoding.field(word, "w") if "w" in encoding.fields else 0


@cache
def _encodings() -> tuple[Encoding, ...]:
    folder = Path(__file__).parent
    return table.read(folder / "mve.txt", folder / "thumb.txt")
