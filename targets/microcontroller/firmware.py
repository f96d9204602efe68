"""Builds the C of a network for a core and a board's memory, and reads out of the ELF file what it takes."""

import re
import tempfile
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.errors import EdgepressError, UserError
from targets.microcontroller import toolchain
from targets.microcontroller.cores import Core
from targets.microcontroller.sources import Sources

HERE = Path(__file__).parent
FREESTANDING = (
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-Wl,--gc-sections",
    "-Wl,-e,entry",  # without an entry the linker drops everything
)


@dataclass(frozen=True)
class Symbol:
    """A function or variable of the firmware: first address, size in bytes."""

    name: str
    address: int
    size: int


@dataclass(frozen=True)
class Firmware:
    """A built network. `code` is what the processor executes, from `code_address` on; sizes are bytes of the ELF file's sections.

    `owners` are the functions on whose behalf the others run: the layers', and the one that calls them.
    """

    path: Path
    code: bytes
    code_address: int
    constants: bytes
    data: bytes
    bss_bytes: int
    functions: tuple[Symbol, ...]
    owners: tuple[Symbol, ...]
    variables: dict[str, Symbol]
    segments: tuple[tuple[int, bytes], ...]
    entry: int

    @property
    def flash_bytes(self) -> int:
        """Code, constants and the first values of variables."""
        return len(self.code) + len(self.constants) + len(self.data)

    @property
    def static_ram_bytes(self) -> int:
        """Arena, input and output buffers and other variables: everything but the stack."""
        return len(self.data) + self.bss_bytes

    def buffers(self, prefix: str) -> tuple[Symbol, ...]:
        """The harness's variables `prefix_0`, `prefix_1`, … in this order."""
        found = [symbol for name, symbol in self.variables.items() if name.startswith(f"{prefix}_")]
        return tuple(sorted(found, key=lambda symbol: int(symbol.name.removeprefix(f"{prefix}_"))))

    def code_of(self, address: int, size: int) -> bytes:
        """The instructions at an address."""
        start = address - self.code_address
        return self.code[start : start + size]

    def function_at(self, address: int) -> str | None:
        """The function that holds this address."""
        index = bisect_right(self.functions, address, key=lambda symbol: symbol.address) - 1
        found = self.functions[index] if index >= 0 else None
        return found.name if found and address < found.address + found.size else None


def build(sources: Sources, core: Core, flash_bytes: int, ram_bytes: int, optimization: str = "-O2") -> Firmware:
    """Compiles and links the network with a function `entry` that runs it once on fixed buffers.

    Raises UserError when it doesn't fit into the memory given, and EdgepressError with the compiler's words for anything else.
    """
    memory = {"FLASH_ORIGIN": core.flash_origin, "FLASH_BYTES": flash_bytes, "RAM_ORIGIN": core.ram_origin, "RAM_BYTES": ram_bytes}
    # zig makes -O2 of -O1 and -O3, and drops symbols at -Os, so clang itself is told the level.
    target = ["-target", core.zig_target, f"-mcpu={core.zig_cpu}", "-O2", "-Xclang", optimization, *FREESTANDING]
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "firmware.ld"
        script.write_text(_filled(HERE / "firmware.ld", memory), encoding="utf-8")
        harness = Path(scratch) / "harness.c"
        harness.write_text(_harness(sources), encoding="utf-8")
        paths = ["-isystem", str(HERE / "freestanding"), "-I", str(sources.folder), "-T", str(script)]
        depends = (*sources.headers, HERE / "freestanding" / "string.h", script)
        try:
            made = toolchain.build(f"{sources.name}.elf", target, (*sources.files, harness), depends, paths)
        except EdgepressError as error:
            raise _too_big(error) from None
    return read(made, {f"{sources.name}_run", *(layer.function for layer in sources.layers if layer.function)})


def _too_big(error: EdgepressError) -> EdgepressError:
    """The linker's words about memory that overflows, with the cure."""
    overflow = re.search(r"will not fit in region '(\w+)': overflowed by (\d+) bytes", str(error))
    if overflow is None:
        return error
    memory, excess = overflow.groups()
    return UserError(f"the network needs {excess} bytes more of {memory} than the board has; prune it or choose a larger board")


def _filled(template: Path, values: dict[str, int]) -> str:
    text = template.read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def _harness(sources: Sources) -> str:
    """The main program: what a real firmware would hold for the network, without start-up code and drivers."""
    buffers = [f"_Alignas(16) unsigned char input_{i}[{size}];" for i, size in enumerate(sources.input_bytes)]
    buffers += [f"_Alignas(16) unsigned char output_{i}[{size}];" for i, size in enumerate(sources.output_bytes)]
    inputs = ", ".join(f"input_{i}" for i in range(len(sources.input_bytes)))
    outputs = ", ".join(f"output_{i}" for i in range(len(sources.output_bytes)))
    return "\n".join(
        [
            f'#include "{sources.name}.h"',
            f"_Alignas(16) unsigned char arena[{max(sources.arena_bytes, 16)}];",
            *buffers,
            f"static const void *const inputs[] = {{{inputs}}};",
            f"static void *const outputs[] = {{{outputs}}};",
            f"void entry(void) {{ {sources.name}_run(inputs, outputs, arena); }}",
            "",
        ]
    )


def read(path: Path, owners: Collection[str] = ()) -> Firmware:
    """The sections and symbols of an ELF file that `build` made, in which the functions of these names are owners."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        elf = ELFFile(file)
        symbols = [entry for entry in elf.get_section_by_name(".symtab").iter_symbols() if entry["st_size"]]
        functions = _symbols(symbols, "STT_FUNC")
        return Firmware(
            path=path,
            code=_content(elf, ".text"),
            code_address=elf.get_section_by_name(".text")["sh_addr"],
            constants=_content(elf, ".rodata"),
            data=_content(elf, ".data"),
            bss_bytes=_bytes(elf, ".bss"),
            functions=functions,
            owners=tuple(symbol for symbol in functions if symbol.name in owners),
            variables={symbol.name: symbol for symbol in _symbols(symbols, "STT_OBJECT")},
            segments=tuple(
                (part["p_vaddr"], part.data()) for part in elf.iter_segments() if part["p_type"] == "PT_LOAD" and part["p_filesz"]
            ),
            entry=elf.header["e_entry"] & ~1,
        )


def _content(elf: Any, name: str) -> bytes:
    section = elf.get_section_by_name(name)
    return section.data() if section else b""


def _bytes(elf: Any, name: str) -> int:
    section = elf.get_section_by_name(name)
    return section["sh_size"] if section else 0


def _symbols(entries: list[Any], kind: str) -> tuple[Symbol, ...]:
    """Symbols of one kind by address (Thumb functions carry a 1 in the lowest bit), one for each address."""
    chosen = [entry for entry in entries if entry["st_info"]["type"] == kind]
    thumb = 1 if kind == "STT_FUNC" else 0
    found = {entry["st_value"] & ~thumb: Symbol(entry.name, entry["st_value"] & ~thumb, entry["st_size"]) for entry in chosen}
    return tuple(found[address] for address in sorted(found))
