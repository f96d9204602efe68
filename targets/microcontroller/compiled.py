"""The C of a file: the folder itself, or what the TFLite-to-C compiler makes of a `.tflite`, kept in the cache."""

import hashlib
import math
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from targets.base import Artifact
from targets.cache import cache_folder
from targets.errors import UserError
from targets.formats import c
from targets.microcontroller.compiler import compile_tflite


def as_c(artifact: Artifact, max_ram_kb: float | None = None) -> Artifact:
    """The artifact as C sources; a `.tflite` with an arena of at most `max_ram_kb` times 1024 bytes.

    Raises ExportError with layer and operator for a `.tflite` that can't be compiled, UserError for a limit on what is C already.
    """
    if artifact.format == "c":
        if max_ram_kb is not None:
            raise UserError(f"settings.max_ram_kb: {artifact.path} is C already; export it with this limit, or profile the .tflite")
        return artifact
    kept = cache_folder("c", f"{artifact.sha256[:24]}-{compiler_digest()[:24]}{'' if max_ram_kb is None else f'-{max_ram_kb!r}'}")
    folder = kept / artifact.path.stem
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=kept) as scratch:
            fresh = Path(scratch) / folder.name
            compile_tflite(artifact.path, fresh, max_ram_kb=max_ram_kb)
            try:
                fresh.replace(folder)
            except OSError:
                if not folder.exists():  # else another process was faster
                    raise
    return c.read(folder)


def kilobytes(settings: Mapping[str, str]) -> float | None:
    """The setting `max_ram_kb` of a target. UserError where it is no positive number."""
    given = settings.get("max_ram_kb")
    if given is None:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(f"settings.max_ram_kb: can't be '{given}'; give the kilobytes that the arena may have, such as 32")
    return value


@cache
def compiler_digest() -> str:
    """Changes with every change of the compiler or its kernels."""
    content = hashlib.sha256()
    for file in sorted(path for path in (Path(__file__).parent / "compiler").rglob("*") if path.suffix in {".py", ".h", ".c"}):
        content.update(file.read_bytes())
    return content.hexdigest()
