"""The C of a file: the folder itself, or what the TFLite-to-C compiler makes of a `.tflite`, kept in the cache."""

import hashlib
import tempfile
from functools import cache
from pathlib import Path

from targets.base import Artifact
from targets.cache import cache_folder
from targets.formats import c
from targets.microcontroller.compiler import compile_tflite


def as_c(artifact: Artifact) -> Artifact:
    """The artifact as C sources. Raises ExportError with layer and operator for a `.tflite` that can't be compiled."""
    if artifact.format == "c":
        return artifact
    kept = cache_folder("c", f"{artifact.sha256[:24]}-{_compiler_digest()[:24]}")
    folder = kept / artifact.path.stem
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=kept) as scratch:
            fresh = Path(scratch) / folder.name
            compile_tflite(artifact.path, fresh)
            try:
                fresh.replace(folder)
            except OSError:
                if not folder.exists():  # else another process was faster
                    raise
    return c.read(folder)


@cache
def _compiler_digest() -> str:
    """Changes with every change of the compiler or its kernels."""
    content = hashlib.sha256()
    for file in sorted(path for path in (Path(__file__).parent / "compiler").rglob("*") if path.suffix in {".py", ".h", ".c"}):
        content.update(file.read_bytes())
    return content.hexdigest()
