"""C: sources for a microcontroller, made from the TFLite file of the same network."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from compress.lowering import tflite
from compress.lowering.layout import arranged
from compress.model import Model
from targets.base import Artifact


@dataclass(frozen=True)
class C:
    """A folder of C99 sources, integer arithmetic only, without heap or library: a function for each layer, and the weights.

    Made from the same conversion as the `tflite` file, so the two compute the same integers. Images are NHWC.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __call__(self, model: Model, directory: Path) -> Artifact:
        """Writes the folder `<model name>-c`, ready to drop into a firmware.

        Raises ExportError naming layer and operator that TFLite or the C compiler hasn't.
        """
        from targets.microcontroller.compiler import compile_tflite
        from targets.microcontroller.packaging import package

        content = tflite.to_bytes(model, channels_last=True)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / f"{model.name}.tflite"
            file.write_bytes(content)
            artifact = compile_tflite(file, directory / f"{model.name}-c", model.name)
        package(artifact)
        return arranged(artifact)
