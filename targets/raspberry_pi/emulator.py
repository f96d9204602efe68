"""QEMU's user mode as a given Arm core: the command that starts Python in the arm64 root file system, and the counts it leaves."""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median_low

from targets.errors import EdgepressError
from targets.microcontroller import toolchain
from targets.raspberry_pi import operators
from targets.raspberry_pi.root import Root, installed

WARMUP, REPETITIONS = 2, 3
MARKS = "marks.txt"
COUNTER, CLOCK = (Path(__file__).with_name(name) for name in ("marks.c", "clock.c"))
LAST_WITH_COUNTS = 8
"""QEMU's last major version that takes plugins of API version 1."""


@dataclass(frozen=True)
class Core:
    """What Linux says of a core in /proc/cpuinfo. The runtimes choose their kernels by it, so it must agree with `-cpu`."""

    part: str
    variant: str
    revision: int
    features: str

    def cpuinfo(self, count: int = 4) -> str:
        """The file's text for a machine with `count` such cores."""
        lines = (
            f"BogoMIPS\t: 108.00\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: {self.variant}\nCPU part\t: {self.part}\nCPU revision\t: {self.revision}\n"
        )
        return "\n".join(f"processor\t: {number}\n{lines}" for number in range(count))


CORES = {
    "cortex-a53": Core("0xd03", "0x0", 4, "fp asimd evtstrm crc32 cpuid"),
    "cortex-a72": Core("0xd08", "0x0", 3, "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": Core(
        "0xd0b", "0x4", 1, "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
    ),
}
"""As the boards' own Linux prints it. Cores by QEMU's names; its `max` computes int8 networks wrongly in version 7.2."""


@dataclass(frozen=True)
class Machine:
    """An emulated machine: `command` starts its Python, in `environment`."""

    title: str
    command: tuple[str, ...]
    environment: dict[str, str]
    counts: bool
    notes: tuple[str, ...]

    def instructions(self, folder: Path, parts: Sequence[float | None]) -> list[int | None]:
        """Instructions of one inference, then of each part of the job; None for one that didn't run. Nothing where this QEMU can't count.

        `parts` is the result's entry of that name.
        """
        if not self.counts:
            return []
        counted = iter(inferences(_marks(folder)))
        found = [median_low(list(islice(counted, WARMUP + REPETITIONS))[WARMUP:])]
        return [*found, *(None if part is None else median_low(list(islice(counted, 1 + REPETITIONS))[1:]) for part in parts)]

    def operators(self, folder: Path) -> list[int | None]:
        """Each call of an operator in the inference that `instructions` counts (see `operators.calls`); nothing where QEMU can't count."""
        if not self.counts:
            return []
        marks = _marks(folder)
        counted = inferences(marks)[WARMUP : WARMUP + REPETITIONS]
        return list(operators.calls(marks))[WARMUP + counted.index(median_low(counted))]


def qemu() -> str | None:
    """Where QEMU's user mode for aarch64 is, if anywhere."""
    return shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")


def prepare(core: str, kind: str | None = None) -> Machine:
    """The machine with this core, for files of a kind. The root file system must be installed. EdgepressError where C can't be compiled.

    For "onnx" the job must have `operators.PRACTICE`; calls of operators are counted after it.
    """
    program, root = qemu(), installed()
    if program is None or root is None:
        raise EdgepressError("qemu-aarch64 or the arm64 root file system went away during the run")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    counts = int(version.split(".")[0]) <= LAST_WITH_COUNTS
    still = _fixed_addresses()
    notes = (
        []
        if counts
        else [f"instructions are not counted: QEMU {version} takes no plugins of API version 1; QEMU 6 to {LAST_WITH_COUNTS} does"]
    )
    if counts and not still:
        notes.append("counts may differ by less than 0.1 % from run to run: this machine doesn't let a process fix its addresses")
    view = _view(root, core)
    nodes, clock = (operators.NODES, ["-E", f"LD_PRELOAD={_clock()}"]) if kind == "onnx" else (0, [])
    plugin = ["-plugin", f"{_counter()},out={MARKS},nodes={nodes}"] if counts else []
    return Machine(
        title=f"{core} emulated by QEMU {version}",
        command=(
            *still,
            program,
            "-L",
            str(view),
            "-cpu",
            core,
            "-seed",
            "1",
            *clock,
            *plugin,
            str(view / "usr/bin" / root.python),
        ),
        environment={
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(root.packages),
            "PYTHONHASHSEED": "0",
            "PYTHONSAFEPATH": "1",  # the job's folder has another name each time, and names in memory move counts by an instruction or two
            "OPENBLAS_NUM_THREADS": "1",
            "LC_ALL": "C.UTF-8",
        },
        counts=counts,
        notes=tuple(notes),
    )


def inferences(marks: str) -> list[int]:
    """Instructions between marks 1 and 2, less what a mark costs (between 0 and 1). Lines are "mark count"; a cut-off end is left out.

    Other lines than those of the three marks say nothing here.

    >>> inferences("0 100\\n1 110\\n2 1120\\n0 1130\\n1 1140\\n")
    [1000]
    """
    counts = [int(line.split()[1]) for line in marks.splitlines() if line[0] in "012"]
    triples = zip(counts[0::3], counts[1::3], counts[2::3], strict=False)
    return [(end - begin) - (begin - before) for before, begin, end in triples]


def _marks(folder: Path) -> str:
    return (folder / MARKS).read_text(encoding="ascii")


def _fixed_addresses() -> tuple[str, ...]:
    """The start of a command whose process has the same addresses each time, empty where the machine doesn't allow that."""
    command = ("setarch", platform.machine(), "-R")
    allowed = shutil.which("setarch") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if allowed else ()


def _view(root: Root, core: str) -> Path:
    """The root file system with the core's own /proc/cpuinfo."""
    view = root.folder / "cores" / core
    (view / "proc").mkdir(parents=True, exist_ok=True)
    for entry in root.files.iterdir():
        link = view / entry.name
        if not link.is_symlink() and entry.name != "proc":
            link.symlink_to(Path("../../root") / entry.name)
    (view / "proc" / "cpuinfo").write_text(CORES[core].cpuinfo(), encoding="ascii")
    return view


def _counter() -> str:
    """The plugin that counts, compiled; commas doubled as QEMU's options want them."""
    built = toolchain.build("marks.so", toolchain.SHARED_LIBRARY, [COUNTER], [], [])
    return str(built).replace(",", ",,")


def _clock() -> Path:
    """The library that gives the emulated process its time."""
    return toolchain.build("clock.so", ["-target", "aarch64-linux-gnu", "-nostdlib", *toolchain.SHARED_LIBRARY], [CLOCK], [], [])
