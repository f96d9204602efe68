"""The C of a file: the folder itself, or what the TFLite-to-C compiler makes of a `.tflite`, kept in the cache."""

import hashlib
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
    folder = cache_folder("c", f"{artifact.sha256[:24]}-{_compiler_digest()[:24]}") / artifact.path.stem
    if (folder / "model.json").is_file():
        return c.read(folder)
    return compile_tflite(artifact.path, folder)


@cache
def _compiler_digest() -> str:
    """Changes with every change of the compiler or its kernels."""
    content = hashlib.sha256()
    for file in sorted(path for path in (Path(__file__).parent / "compiler").rglob("*") if path.suffix in {".py", ".h", ".c"}):
        content.update(file.read_bytes())
    return content.hexdigest()
