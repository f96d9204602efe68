"""What every exporter is."""

from pathlib import Path
from typing import Protocol

from compress.model import Model
from targets.base import Artifact


class Exporter(Protocol):
    """Frozen, typed options, checked at construction, and a call (see `compress.passes.base` for how options are declared)."""

    def __call__(self, model: Model, directory: Path) -> Artifact:
        """Writes `directory/<model name>.<ending>` whole or not at all, and reads back what it wrote.

        Raises ExportError naming layer and operator where the format can't hold the model.
        """
