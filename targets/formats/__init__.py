"""Readers of exported files: what goes in and comes out of each. A file is recognised by what is in it, not by its name."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from targets.base import Artifact
from targets.errors import UserError


def read(path: Path) -> Artifact:
    """The artifact that this `.tflite` file, `.onnx` file or folder of C sources holds.

    Raises UserError where nothing is there, where it is none of the three, and where it is damaged.
    """
    if path.is_dir():
        if not (path / "model.json").is_file():
            raise UserError(f"{path}: a folder is read as exported C sources, and this one has no model.json")
        from targets.formats import c

        return c.read(path)
    if identifier(path) == b"TFL3":
        from targets.formats import tflite

        return tflite.read(path)
    from targets.formats import onnx

    return onnx.read(path)


def identifier(path: Path) -> bytes:
    """Bytes 4 to 7 of a file, where a flatbuffer has its file identifier. UserError where the file can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(8)[4:]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def sha256(paths: Iterable[Path]) -> str:
    """The hash over the contents of files, in the order given, read piece by piece."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                total.update(piece)
    return total.hexdigest()
