"""QEMU's system emulation, for cores that Unicorn lacks: one process for each sample, with the board's DRAM as a file between us."""

import shutil
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from targets.base import Problem
from targets.errors import EdgepressError, UserError
from targets.microcontroller import toolchain
from targets.microcontroller.cores import Core
from targets.microcontroller.emulators.base import PAINT, Block, Counts
from targets.microcontroller.firmware import Firmware
from targets.microcontroller.flash import Flash

HERE = Path(__file__).parent
PROGRAM = "qemu-system-arm"
DRAM_ORIGIN = 0x6000_0000
DRAM_BYTES = 2 << 30
"""Of the machine; the file that holds it is sparse."""
JOB = struct.Struct("<6I")
"""`Job` of boot.c, at the start of the DRAM."""
STACK_OVERFLOW = 1 << 20
THUMB = 1
LAST_WITH_FIRST_API = 8
"""QEMU's last major version that takes plugins of API version 1."""


class Qemu:
    """A core of a machine whose DRAM lies at DRAM_ORIGIN (`model` is QEMU's name of it); the firmware is linked to addresses there.

    Outputs and counts are the same each time. The stack is measured by what was written to it. Reads of a flash are not told apart,
    so there are no misses.
    """

    def __init__(self, core: Core, firmware: Firmware, ram_bytes: int) -> None:
        self._core = core
        self._firmware = firmware
        self._stack_top = core.ram_origin + ram_bytes // 16 * 16
        self._stack_end = -(-(core.ram_origin + firmware.static_ram_bytes) // 8) * 8

    @staticmethod
    def missing() -> Problem | None:
        """What of this machine is missing for it to work."""
        return None if shutil.which(PROGRAM) else Problem(f"{PROGRAM} is not installed", f"run: sudo apt-get install {PROGRAM}")

    @property
    def version(self) -> str:
        """Name and version of the software."""
        return f"{PROGRAM} {_version()}"

    def infer(self, inputs: Sequence[NDArray[Any]]) -> tuple[bytes, ...]:
        """Runs one sample, an array for each input; the bytes of each output. EdgepressError when the core stops on a fault."""
        return self.count(inputs)[0]

    def count(self, inputs: Sequence[NDArray[Any]], flash: Flash | None = None) -> tuple[tuple[bytes, ...], Counts]:
        """The same, and what it took. UserError where the stack doesn't fit into the RAM."""
        del flash  # its reads are not told apart
        with tempfile.TemporaryDirectory(prefix="edgepress-") as name:
            folder = Path(name)
            with (folder / "dram").open("w+b", buffering=0) as file:
                file.truncate(DRAM_BYTES)
                dram = _Dram(file)
                self._fill(dram, inputs)
                owners = (f"{symbol.address} {symbol.size}\n" for symbol in self._firmware.owners)
                (folder / "owners").write_text("".join(owners), encoding="ascii")
                self._check(dram, _execute(self._core.model, folder))
                outputs = tuple(dram.read(symbol.address, symbol.size) for symbol in self._firmware.buffers("output"))
                return outputs, Counts(self._blocks(folder / "blocks"), self._stack_bytes(dram))

    def _fill(self, dram: "_Dram", inputs: Sequence[NDArray[Any]]) -> None:
        """Firmware, inputs, painted stack and the job for boot.c."""
        for address, content in self._firmware.segments:
            dram.write(address, content)
        for symbol, values in zip(self._firmware.buffers("input"), inputs, strict=True):
            if values.nbytes != symbol.size:
                raise EdgepressError(f"{self._firmware.path.name}: {symbol.name} takes {symbol.size} bytes, not {values.nbytes}")
            dram.write(symbol.address, np.ascontiguousarray(values).tobytes())
        dram.write(self._stack_end, PAINT * (self._stack_top - self._stack_end))
        dram.write(DRAM_ORIGIN, JOB.pack(self._stack_top, self._stack_end, self._firmware.entry | THUMB, 0, 0, 0))

    def _check(self, dram: "_Dram", said: str) -> None:
        """Raises what boot.c says about a run that did not end well."""
        *_, finished, status, address = JOB.unpack(dram.read(DRAM_ORIGIN, JOB.size))
        if status & STACK_OVERFLOW:
            words = f"the stack doesn't fit into the {self._stack_top - self._stack_end:,} bytes of RAM that are left"
            raise UserError(f"{self._firmware.path.name}: {words}; prune the network or choose a board with more RAM")
        if status:
            place = self._firmware.function_at(address) or f"address {address:#x}"
            raise EdgepressError(f"{self._firmware.path.name}: {place}: the emulated core stopped: fault status {status:#x}")
        if not finished:
            raise EdgepressError(f"{self._firmware.path.name}: {self.version} stopped: {said or 'it said nothing'}")

    def _blocks(self, report: Path) -> tuple[Block, ...]:
        """The blocks of the firmware; the same code may have been translated several times."""
        names = (None, *(symbol.name for symbol in self._firmware.owners))
        counts: Counter[tuple[int, int, int]] = Counter()
        fallthroughs: Counter[tuple[int, int, int]] = Counter()
        for line in report.read_text(encoding="ascii").splitlines():
            owner, address, size, executed, fell = map(int, line.split())
            if address >= self._firmware.code_address:
                counts[owner, address, size] += executed
                fallthroughs[owner, address, size] += fell
        found = ((*block, executions, fallthroughs[block]) for block, executions in sorted(counts.items()))
        return tuple(Block(names[owner], address, size, executed, fell, 0) for owner, address, size, executed, fell in found)

    def _stack_bytes(self, dram: "_Dram") -> int:
        """How deep the stack was written to."""
        return len(dram.read(self._stack_end, self._stack_top - self._stack_end).lstrip(PAINT))


@dataclass(frozen=True)
class _Dram:
    """The machine's memory by its addresses."""

    file: BinaryIO

    def write(self, address: int, content: bytes) -> None:
        """Puts bytes there."""
        self.file.seek(address - DRAM_ORIGIN)
        self.file.write(content)

    def read(self, address: int, size: int) -> bytes:
        """The bytes there."""
        self.file.seek(address - DRAM_ORIGIN)
        return self.file.read(size)


def _execute(machine: str, folder: Path) -> str:
    """Runs what is in the file `dram` until boot.c or QEMU ends it; gives QEMU's last words.

    Blocks, counted for each function of the file `owners`, are in the file `blocks` then.
    """
    command = [
        *(PROGRAM, "-machine", f"{machine},memory-backend=dram", "-kernel", str(_boot())),
        *("-object", f"memory-backend-file,id=dram,size={DRAM_BYTES},mem-path=dram,share=on"),
        *("-plugin", f"{str(_counter()).replace(',', ',,')},out=blocks,owners=owners"),
        *("-display", "none", "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"),
    ]
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    return (done.stderr.strip().splitlines() or [""])[-1]


@cache
def _version() -> str:
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[3] if said.startswith("QEMU emulator version") else "of unknown version"


def _boot() -> Path:
    target = ["-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m55", "-O2", "-ffreestanding", "-Wl,-e,start"]
    script = HERE / "boot.ld"
    return toolchain.build("boot.elf", target, [HERE / "boot.c"], [script], ["-T", str(script)])


def _counter() -> Path:
    api = 1 if int(_version().split(".")[0]) <= LAST_WITH_FIRST_API else 2
    return toolchain.build("blocks.so", [*toolchain.SHARED_LIBRARY, f"-DPLUGIN_VERSION={api}"], [HERE / "blocks.c"], [], [])
