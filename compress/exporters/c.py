"""C: sources for a microcontroller, made from the TFLite file of the same network."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from compress.lowering import tflite
from compress.lowering.layout import arranged
from compress.model import Model
from targets.base import Artifact
from targets.errors import ExportError, UserError


@dataclass(frozen=True)
class C:
    """A folder of C99 sources without heap or library: a function for each layer, and the weights.

    Made from the same conversion as the `tflite` file, so the two compute the same numbers: integers of a quantized network with integer
    arithmetic only, floats of one that isn't. Images are NHWC. `max_ram_kb`: kilobytes
    (of 1024 bytes) that the arena may have; where the network needs more, neighbouring layers run stripe by stripe.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    max_ram_kb: float | None = None

    def __post_init__(self) -> None:
        if self.max_ram_kb is not None and not 0 < self.max_ram_kb < math.inf:
            raise UserError(f"max_ram_kb: can't be {self.max_ram_kb:g}; give the kilobytes that the arena may have, such as 32")

    def __call__(self, model: Model, directory: Path) -> Artifact:
        """Writes the folder `<model name>-c`, ready to drop into a firmware.

        Raises ExportError naming layer and operator that TFLite or the C compiler hasn't, or that needs more memory.
        """
        from targets.microcontroller.compiler import compile_tflite
        from targets.microcontroller.packaging import package

        content = tflite.to_bytes(model, channels_last=True)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / f"{model.name}.tflite"
            file.write_bytes(content)
            try:
                artifact = compile_tflite(file, directory / f"{model.name}-c", model.name, self.max_ram_kb)
            except ExportError as error:  # it names a file that isn't there any more
                raise ExportError(str(error).replace(f"{scratch}/", "")) from error
        package(artifact)
        return arranged(artifact, model)
