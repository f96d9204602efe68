"""RISC-V with compressed instructions: where each ends, which is all that counting needs (no timings are published to classify for)."""

from targets.microcontroller.decoders.base import Instruction

COMPRESSED, FULL = Instruction("compressed", 2), Instruction("full", 4)


class Riscv:
    """The decoder of 32-bit cores; an instruction has four bytes where its lowest two bits are set (RISC-V ISA manual, volume I, 1.5)."""

    def block(self, code: bytes) -> tuple[Instruction, ...]:
        """The instructions of one block of straight-line code."""
        instructions = []
        position = 0
        while position < len(code):
            instructions.append(FULL if code[position] & 3 == 3 else COMPRESSED)
            position += instructions[-1].size
        return tuple(instructions)
