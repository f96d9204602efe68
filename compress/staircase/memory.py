"""What the C compiler needs for an operator besides its input and output, and where these may overlap."""

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from compress.staircase import files
from compress.staircase.files import Precision
from compress.staircase.operation import Operation
from targets.formats import tflite
from targets.microcontroller.compiler import lower


@dataclass(frozen=True)
class Needs:
    """Bytes of working memory, and how many bytes after its output an operator's input must start, or `planner.SAME_PLACE`; None where
    they can't overlap."""

    scratch_bytes: int
    distance: int | None


@lru_cache(maxsize=4096)
def needs(operation: Operation, precision: Precision) -> Needs:
    """As the compiler says of a file of this operator alone. ExportError where it can't be compiled."""
    with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
        path = Path(folder) / "operator.tflite"
        path.write_bytes(files.write([operation], precision))
        layer = lower(tflite.load(path), "operator").layers[0]
    return Needs(layer.scratch_bytes, layer.in_place.get(0))
