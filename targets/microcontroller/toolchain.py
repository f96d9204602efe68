"""The C compiler: zig's clang from pip, for the host and for bare cores, with every result cached by its content."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from targets.cache import cache_folder
from targets.errors import EdgepressError

# Multiply and add stay apart, so that float kernels give the same bits on every core and on the host.
COMMON = ("-fno-sanitize=all", "-ffp-contract=off", "-fomit-frame-pointer", "-std=c99")
SHARED_LIBRARY = ("-O2", "-shared", "-fPIC", "-g0")


def compiler_name() -> str:
    """What builds the C, with its version."""
    return f"zig cc {version('ziglang')}"


def build(name: str, arguments: Sequence[str], sources: Sequence[Path], depends: Sequence[Path], paths: Sequence[str]) -> Path:
    """The file that `zig cc arguments paths sources` makes, from the cache where the same was built before.

    What it is made of decides: the compiler's version, the arguments, and the content of `sources` and `depends`. `paths` are the
    arguments that say where headers and linker scripts lie, which `depends` lists. EdgepressError with the compiler's first error.
    """
    folder = cache_folder("built", _digest(arguments, (*sources, *depends)))
    made = folder / name
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            fresh = Path(scratch) / name
            _compile([*COMMON, *arguments, *paths, *map(str, sources), "-o", str(fresh)], name)
            fresh.replace(made)
    return made


def _digest(arguments: Sequence[str], files: Sequence[Path]) -> str:
    content = hashlib.sha256(repr((compiler_name(), COMMON, tuple(arguments))).encode())
    for file in files:
        content.update(f"\n{file.name}\n".encode() + file.read_bytes())
    return content.hexdigest()[:24]


def _compile(arguments: list[str], name: str) -> None:
    folders = {key: str(cache_folder("zig")) for key in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    command = [sys.executable, "-m", "ziglang", "cc", *arguments]
    done = subprocess.run(command, env={**os.environ, **folders}, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.splitlines()
        reason = next((line for line in lines if "error:" in line), lines[-1] if lines else f"exit code {done.returncode}")
        raise EdgepressError(f"{name}: {compiler_name()} stopped: {reason.strip()}")
