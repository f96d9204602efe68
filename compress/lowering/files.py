"""Files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path

from targets.errors import UserError


def write_whole(path: Path, content: bytes) -> Path:
    """Writes a file by renaming a finished one into place, making its folder; UserError where the folder can't be written to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror}; choose another folder with --output") from error
    return path
