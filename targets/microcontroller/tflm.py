"""What a network takes with TensorFlow Lite Micro, for those who stay with it: its arena, its operators, the file as a C array."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from targets.base import Artifact
from targets.errors import ExportError, UserError
from targets.formats import tflite

ROOM_BYTES = 1 << 28
"""What the interpreter may take; only what it touches becomes memory."""
MEASURE = """
import sys
from tflite_micro import runtime
runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2])).print_allocations()
"""
"""The allocator writes its record to the process's standard error, so it has a process of its own."""
LIMIT_SECONDS = 60
METHODS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
"""Operators whose method in MicroMutableOpResolver isn't named as the others are."""
A_LINE = 16


def installed() -> bool:
    """Whether its interpreter (extra `tflm`) is there."""
    return importlib.util.find_spec("tflite_micro") is not None


def arena_bytes(path: Path) -> int:
    """The arena that TFLM's own interpreter takes for a `.tflite` file.

    It runs on this machine, with reference kernels: a 32-bit core has shorter pointers and takes a little less, and optimized kernels add
    scratch memory. UserError where the extra is missing, ExportError with TFLM's words where it can't run the file.
    """
    if not installed():
        raise UserError("tflite-micro is not installed; run: pip install 'edgepress[tflm]'")
    command = [sys.executable, "-P", "-c", MEASURE, str(path), str(ROOM_BYTES)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise ExportError(f"{path}: TFLite Micro did not end within {LIMIT_SECONDS} s; export the network again") from None
    total = re.search(r"Arena allocation total (\d+) bytes", done.stderr)
    if done.returncode or total is None:
        said = next((line.strip() for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")
        raise ExportError(f"{path}: TFLite Micro can't run it: {said}; take edgepress's C (format c) or replace the operator")
    return int(total[1])


def resolver_lines(path: Path) -> tuple[str, ...]:
    """The C++ that registers just the operators that a file needs. UserError where it can't be read."""
    names = sorted({operator.name for operator in tflite.load(path).operators})
    return (f"tflite::MicroMutableOpResolver<{len(names)}> resolver;", *map(_registration, names))


def _registration(name: str) -> str:
    if name.startswith("CUSTOM:"):
        custom = name.removeprefix("CUSTOM:")
        return f'resolver.AddCustom("{custom}", Register_{_identifier(custom)}());'
    parts = (part if part[0].isdigit() else part.capitalize() for part in name.split("_"))
    return f"resolver.Add{METHODS.get(name) or ''.join(parts)}();"


def c_array(path: Path) -> str:
    """A C++ file with the `.tflite` file's bytes as an array of its name, aligned as TFLM wants it, and their number."""
    name, content = _identifier(path.stem), path.read_bytes()
    lines = (content[start : start + A_LINE] for start in range(0, len(content), A_LINE))
    return "\n".join(
        [
            f"extern const unsigned int {name}_bytes = {len(content)};",
            f"alignas(16) extern const unsigned char {name}[] = {{",
            *("    " + " ".join(f"0x{byte:02x}," for byte in line) for line in lines),
            "};",
            "",
        ]
    )


def _identifier(name: str) -> str:
    """A name that C takes.

    >>> _identifier("2 words")
    '_2_words'
    """
    plain = re.sub(r"[^0-9A-Za-z_]", "_", name)
    return f"_{plain}" if not plain or plain[0].isdigit() else plain


def beside(artifact: Artifact, buffer_bytes: int) -> dict[str, Any] | None:
    """TFLM's figures beside ours, which are `buffer_bytes` for arena, inputs and outputs; None for C, and where the extra is missing."""
    if artifact.format != "tflite" or not installed():
        return None
    found = {"edgepress_bytes": buffer_bytes, "resolver": list(resolver_lines(artifact.path))}
    try:
        return {**found, "arena_bytes": arena_bytes(artifact.path)}
    except ExportError as error:
        return {**found, "arena_bytes": None, "reason": str(error)}


def notes(compared: dict[str, Any] | None) -> list[str]:
    """What `beside` found, in words."""
    if compared is None or compared["arena_bytes"] is None:
        return []
    ours = f"{compared['edgepress_bytes']:,} bytes for arena, inputs and outputs here"
    return [f"TFLite Micro's own interpreter takes an arena of {compared['arena_bytes']:,} bytes for this file, against {ours}"]
