"""A board that doesn't exist: the packaged example on an emulated core, with a serial line that ends in a pseudo-terminal."""

import os
import select
import threading
import tty
from pathlib import Path

import unicorn
from tflite_files import zig
from unicorn import arm_const

from targets.microcontroller import firmware

FLASH, RAM, MEMORY, STOP, UART, DEBUG_UNIT = 0x0800_0000, 0x2000_0000, 1 << 20, 0x3000_0000, 0x4000_4000, 0xE000_1000
SYSTEM_CONTROL, CYCLE_COUNT = 0xE000_E000, 4
CORES = {
    "cortex-m4": ("cortex_m4+vfp4d16sp", "eabihf", arm_const.UC_CPU_ARM_CORTEX_M4),
    "cortex-m0plus": ("cortex_m0plus", "eabi", arm_const.UC_CPU_ARM_CORTEX_M0),
}
SCRIPT = f"""
SECTIONS {{
  . = {FLASH:#x}; .text : {{ *(.text*) }} .rodata : {{ *(.rodata*) }} .ARM.exidx : {{ *(.ARM.exidx*) }}
  . = {RAM:#x}; .data : {{ *(.data*) }} .bss : {{ *(.bss*) *(COMMON) }}
}}
"""
PORT = f"""#include <stdint.h>
uint8_t ep_serial_read(void) {{ return *(volatile uint8_t *){UART:#x}u; }}
void ep_serial_write(const uint8_t *bytes, uint32_t count) {{ while (count--) *(volatile uint8_t *){UART:#x}u = *bytes++; }}
"""


def build(folder: Path, scratch: Path, serial: bool = False, core: str = "cortex-m4") -> Path:
    """The example of a packaged folder for a core, as an ELF file whose entry is `main`."""
    script, port, made = scratch / "example.ld", scratch / "port.c", scratch / "example.elf"
    script.write_text(SCRIPT, encoding="ascii")
    port.write_text(PORT, encoding="ascii")
    cpu, interface, _ = CORES[core]
    target = ("-target", f"thumb-freestanding-{interface}", f"-mcpu={cpu}", "-O2", "-ffreestanding", "-T", script, "-Wl,-e,main")
    paths = ("-isystem", firmware.HERE / "freestanding", "-I", folder)
    own = ("-DEP_SERIAL", port) if serial else ()
    zig("-std=c99", *target, *paths, *own, *sorted(folder.glob("*.c")), folder / "examples" / "main.c", "-o", made)
    return made


class EmulatedBoard:
    """A core that runs `main`. As a context it does so in a thread, its serial line at `port`, until the end.

    `noise` numbers the bytes that the line spoils on their way to the host; `cut_after` is how many reach it before the line is cut.
    `cycles` are those that the firmware saw in its own cycle counter, a reading each: here one for each two bytes of code that ran.
    """

    def __init__(self, elf: Path, core: str = "cortex-m4") -> None:
        self.noise, self.cut_after, self.sent, self.cycles = set(), None, 0, []
        self._ran = 0
        self._engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
        self._engine.ctl_set_cpu_model(CORES[core][2])
        for origin, size in ((FLASH, MEMORY), (RAM, MEMORY), (STOP, 0x1000), (SYSTEM_CONTROL, 0x1000)):
            self._engine.mem_map(origin, size)
        built = firmware.read(elf)
        self._entry = built.entry
        for address, content in built.segments:
            self._engine.mem_write(address, content)
        self._engine.mmio_map(UART, 0x1000, self._receive, None, self._send, None)
        self._engine.mmio_map(DEBUG_UNIT, 0x1000, self._count, None, lambda *_: None, None)
        self._engine.hook_add(unicorn.UC_HOOK_BLOCK, self._block)

    def main(self) -> int:
        """Runs `main`; what it returns."""
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, RAM + MEMORY)
        self._engine.reg_write(arm_const.UC_ARM_REG_LR, STOP | 1)
        self._engine.emu_start(self._entry | 1, STOP)
        return self._engine.reg_read(arm_const.UC_ARM_REG_R0)

    def __enter__(self) -> "EmulatedBoard":
        self._line, self._terminal = os.openpty()
        tty.setraw(self._terminal)
        self.port = os.ttyname(self._terminal)
        self._end, self._stop = os.pipe()
        self._thread = threading.Thread(target=self.main)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        os.close(self._stop)
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._cut()
        os.close(self._end)

    def _cut(self) -> None:
        """Pulls the cable out."""
        for end in (self._line, self._terminal):
            if end >= 0:
                os.close(end)
        self._line = self._terminal = -1

    def _block(self, _engine, _address, size, _) -> None:
        self._ran += size // 2

    def _receive(self, engine, *_) -> int:
        ends = [self._end] if self._line < 0 else [self._end, self._line]
        ready, _, _ = select.select(ends, [], [])
        if self._end in ready:
            engine.emu_stop()
            return 0
        return os.read(self._line, 1)[0]

    def _send(self, _engine, _offset, _size, value, _) -> None:
        if self.cut_after == self.sent:
            self._cut()
        if self._line >= 0:
            os.write(self._line, bytes([value ^ 0x10 if self.sent in self.noise else value]))
        self.sent += 1

    def _count(self, _engine, offset, *_) -> int:
        if offset != CYCLE_COUNT:
            return 0
        self.cycles.append(self._ran % 2**32)
        return self.cycles[-1]
