"""Cores as data: how to compile for one, what emulates it, and its published instruction timings with their sources."""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from targets.errors import UserError, did_you_mean

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Core:
    """A processor core of a microcontroller.

    `zig_target` and `zig_cpu` compile for it. `emulator` names the module of `emulators/` that runs it and `model` the core
    there. `decoder` names the module of `decoders/` that knows its instructions, `timing` the one of `timing/` that adds up
    cycles, and `cycles` are that one's constants. `sources` says where these are published, `caveat` what they leave out. Firmware is
    linked to `flash_origin` and `ram_origin`, where the emulator has memory.
    """

    name: str
    title: str
    zig_target: str
    zig_cpu: str
    emulator: str
    model: str
    decoder: str
    timing: str
    cycles: dict[str, Any]
    sources: dict[str, str]
    caveat: str
    flash_origin: int = 0x0800_0000
    ram_origin: int = 0x2000_0000

    @property
    def has_fpu(self) -> bool:
        """Whether it computes with float32 itself."""
        return self.zig_target.endswith("hf")


def names() -> tuple[str, ...]:
    """Every core that can be emulated, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def load(name: str) -> Core:
    """The core of this name; UserError with the nearest right name for an unknown one."""
    if name not in names():
        raise UserError(f"no microcontroller core is called '{name}'; {did_you_mean(name, names())}")
    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    if "cycles_of" in data:
        data["cycles"] = load(data.pop("cycles_of")).cycles
    return Core(**{entry.name: data[entry.name] for entry in fields(Core) if entry.name in data})
