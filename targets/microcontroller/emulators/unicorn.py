"""Unicorn with native hooks: counting costs nothing beside the emulation itself."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import unicorn
from numpy.typing import NDArray
from unicorn import arm_const, riscv_const
from unicorn.unicorn_py3.unicorn import uclib

from targets.base import Problem
from targets.errors import EdgepressError, UserError
from targets.microcontroller import toolchain
from targets.microcontroller.cores import Core
from targets.microcontroller.emulators.base import PAINT, Block, Counts
from targets.microcontroller.firmware import Firmware, Symbol
from targets.microcontroller.flash import Flash

PAGE = 0x1000
RETURN = 0x3000_0000
"""Where the firmware's entry returns to: a page of its own, at which the emulation ends."""
SYSTEM_CONTROL = 0xE000_E000


@dataclass(frozen=True)
class _Machine:
    """An instruction set in Unicorn's terms: its registers, and the bit that an address of code carries."""

    architecture: int
    mode: int
    models: dict[str, int]
    stack_register: int
    return_register: int
    program_counter: int
    state: int


def _models(constants: ModuleType, prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): value for name, value in vars(constants).items() if name.startswith(prefix)}


MACHINES = {
    # UC_MODE_MCLASS would always give a Cortex-M33, whatever model is asked for.
    "thumb": _Machine(
        architecture=unicorn.UC_ARCH_ARM,
        mode=unicorn.UC_MODE_THUMB,
        models=_models(arm_const, "UC_CPU_ARM_"),
        stack_register=arm_const.UC_ARM_REG_SP,
        return_register=arm_const.UC_ARM_REG_LR,
        program_counter=arm_const.UC_ARM_REG_PC,
        state=1,
    ),
    "riscv": _Machine(
        architecture=unicorn.UC_ARCH_RISCV,
        mode=unicorn.UC_MODE_RISCV32,
        models=_models(riscv_const, "UC_CPU_"),
        stack_register=riscv_const.UC_RISCV_REG_SP,
        return_register=riscv_const.UC_RISCV_REG_RA,
        program_counter=riscv_const.UC_RISCV_REG_PC,
        state=0,
    ),
}


class _Cache(ctypes.Structure):
    """`Cache` of counter.c."""

    _fields_ = (("lines", ctypes.c_void_p), ("count", ctypes.c_uint32), ("bytes", ctypes.c_uint32))


class _Counter(ctypes.Structure):
    """`Counter` of counter.c."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("owners", ctypes.c_void_p),
        ("owner", ctypes.c_uint64),
        ("executions", ctypes.c_void_p),
        ("fallthroughs", ctypes.c_void_p),
        ("misses", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("next", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("lowest_stack", ctypes.c_uint64),
        ("read_register", ctypes.c_void_p),
        ("stack_register", ctypes.c_int32),
        ("instructions", _Cache),
        ("constants", _Cache),
    )


class Unicorn:
    """A Cortex-M core (but for M55 and M85, whose MVE it lacks) or RISC-V core with a firmware in flash."""

    version = f"unicorn {unicorn.__version__}"

    def __init__(self, core: Core, firmware: Firmware, ram_bytes: int) -> None:
        self._firmware = firmware
        self._flash_origin = core.flash_origin
        self._stack_top = core.ram_origin + ram_bytes // 16 * 16
        self._stack_end = core.ram_origin + firmware.static_ram_bytes
        self._machine = MACHINES[core.decoder]
        self._engine = unicorn.Uc(self._machine.architecture, self._machine.mode)
        self._engine.ctl_set_cpu_model(self._machine.models[core.model])
        flash_bytes = firmware.flash_bytes + PAGE  # sections are aligned, which leaves gaps
        memories = ((core.flash_origin, flash_bytes), (core.ram_origin, ram_bytes), (RETURN, PAGE), (SYSTEM_CONTROL, PAGE))
        for origin, size in memories:
            self._engine.mem_map(origin, -(-size // PAGE) * PAGE)
        for address, content in firmware.segments:
            self._engine.mem_write(address, content)

    @staticmethod
    def missing() -> Problem | None:
        """Nothing: it comes from pip."""
        return None

    def infer(self, inputs: Sequence[NDArray[Any]]) -> tuple[bytes, ...]:
        """Runs one sample, an array for each input; the bytes of each output. EdgepressError when the core stops on a fault."""
        for symbol, values in zip(self._firmware.buffers("input"), inputs, strict=True):
            self._write(symbol, np.ascontiguousarray(values).tobytes())
        self._engine.reg_write(self._machine.stack_register, self._stack_top)
        self._engine.reg_write(self._machine.return_register, RETURN | self._machine.state)
        try:
            self._engine.emu_start(self._firmware.entry | self._machine.state, RETURN)
        except unicorn.UcError as error:
            raise EdgepressError(f"{self._firmware.path.name}: {self._place()}: the emulated core stopped: {error}") from None
        return tuple(bytes(self._engine.mem_read(symbol.address, symbol.size)) for symbol in self._firmware.buffers("output"))

    def count(self, inputs: Sequence[NDArray[Any]], flash: Flash | None = None) -> tuple[tuple[bytes, ...], Counts]:
        """The same, and what it took (misses only of a flash that is given). UserError where the stack doesn't fit into the RAM."""
        length = len(self._firmware.code)
        owners, sizes = self._owners(), np.zeros(length // 2, np.uint32)
        executions, fallthroughs, misses = (np.zeros((len(self._firmware.owners) + 1, length // 2), np.uint64) for _ in range(3))
        lines = [np.zeros(number, np.uint32) for number in ((flash.instruction_lines, flash.data_lines) if flash else (0, 0))]
        caches = [_Cache(held.ctypes.data, len(held), flash.flash_bus_bytes if flash else 0) for held in lines]
        counter = _Counter(
            base=self._firmware.code_address,
            length=length,
            owners=owners.ctypes.data,
            executions=executions.ctypes.data,
            fallthroughs=fallthroughs.ctypes.data,
            misses=misses.ctypes.data,
            sizes=sizes.ctypes.data,
            lowest_stack=self._stack_top,
            read_register=ctypes.cast(uclib.uc_reg_read, ctypes.c_void_p),
            stack_register=self._machine.stack_register,
            instructions=caches[0],
            constants=caches[1],
        )
        self._engine.mem_write(self._stack_end, PAINT * (self._stack_top - self._stack_end))
        hooks = [self._add_hook(unicorn.UC_HOOK_BLOCK, _hooks().count_block, counter)]
        if flash is not None:
            hooks.append(self._add_hook(unicorn.UC_HOOK_MEM_READ, _hooks().count_constant, counter))
        try:
            outputs = self.infer(inputs)
        finally:
            for hook in hooks:
                uclib.uc_hook_del(self._handle, hook)
        ran = executions.nonzero()
        columns: tuple[NDArray[Any], ...] = (*ran, sizes[ran[1]], *(counted[ran] for counted in (executions, fallthroughs, misses)))
        names, origin = (None, *(symbol.name for symbol in self._firmware.owners)), self._firmware.code_address
        rows = zip(*(column.tolist() for column in columns), strict=True)
        blocks = tuple(Block(names[owner], origin + 2 * place, *counts) for owner, place, *counts in rows)
        return outputs, Counts(blocks, self._stack_bytes(counter.lowest_stack))

    def _owners(self) -> NDArray[np.uint16]:
        """For each halfword of the code the number of its owner, from 1 on; 0 where it has none."""
        result = np.zeros(len(self._firmware.code) // 2, np.uint16)
        for number, symbol in enumerate(self._firmware.owners, 1):
            start = (symbol.address - self._firmware.code_address) // 2
            result[start : start + symbol.size // 2] = number
        return result

    @property
    def _handle(self) -> ctypes.c_void_p:
        """The engine as the C library takes it."""
        handle: ctypes.c_void_p = self._engine._uch  # noqa: SLF001  Python's interface doesn't show it
        return handle

    def _add_hook(self, kind: int, function: Any, counter: _Counter) -> ctypes.c_size_t:
        """Adds a native hook on the flash; Unicorn's own Python interface takes Python functions only."""
        hook = ctypes.c_size_t()
        data = ctypes.c_void_p(ctypes.addressof(counter))
        first, last = ctypes.c_uint64(self._flash_origin), ctypes.c_uint64(self._flash_origin + self._firmware.flash_bytes)
        code = ctypes.cast(function, ctypes.c_void_p)
        failed = uclib.uc_hook_add(self._handle, ctypes.byref(hook), ctypes.c_int(kind), code, data, first, last)
        if failed:
            raise EdgepressError(f"unicorn takes no hook: {unicorn.UcError(failed)}; install unicorn 2.1.4")
        return hook

    def _stack_bytes(self, lowest_pointer: int) -> int:
        """How deep the stack went: by the pointer at each block, and by what a leaf wrote below it. UserError where it overflowed."""
        stack = bytes(self._engine.mem_read(self._stack_end, self._stack_top - self._stack_end))
        lowest_touched = self._stack_end + len(stack) - len(stack.lstrip(PAINT))
        depth = self._stack_top - min(lowest_pointer, lowest_touched)
        if depth >= len(stack):
            words = f"{self._firmware.path.name}: a stack of {depth:,} bytes doesn't fit into the {len(stack):,} bytes of RAM that are left"
            raise UserError(f"{words}; prune the network or choose a board with more RAM")
        return depth

    def _write(self, symbol: Symbol, content: bytes) -> None:
        if len(content) != symbol.size:
            raise EdgepressError(f"{self._firmware.path.name}: {symbol.name} takes {symbol.size} bytes, not {len(content)}")
        self._engine.mem_write(symbol.address, content)

    def _place(self) -> str:
        address = self._engine.reg_read(self._machine.program_counter)
        return self._firmware.function_at(address) or f"address {address:#x}"


@cache
def _hooks() -> ctypes.CDLL:
    source = Path(__file__).with_name("counter.c")
    return ctypes.CDLL(str(toolchain.build("counter.so", toolchain.SHARED_LIBRARY, [source], (), ())))
