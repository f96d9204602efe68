"""TFLite: runs on LiteRT (phones, Raspberry Pi) and, integer, on microcontrollers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from compress.lowering import tflite
from compress.lowering.files import write_whole
from compress.lowering.layout import arranged
from compress.model import Model
from targets import formats
from targets.base import Artifact
from targets.errors import UserError, did_you_mean

Layout = Literal["nhwc", "nchw"]


@dataclass(frozen=True)
class Tflite:
    """A `.tflite` file for one sample at a time.

    `input_layout` is that of inputs and outputs with four axes: `nhwc`, which TFLite's kernels work in, or `nchw`, the network's own,
    at the cost of a transpose. A network of integers takes and gives int8 or int16 at the scales that the file tells; weights of 4 bits
    are stored two a byte.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    input_layout: Layout = "nhwc"

    def __post_init__(self) -> None:
        if self.input_layout not in get_args(Layout):
            raise UserError(f"input_layout '{self.input_layout}' is not known; {did_you_mean(self.input_layout, get_args(Layout))}")

    def __call__(self, model: Model, directory: Path) -> Artifact:
        """Writes `<model name>.tflite`; ExportError naming layer and operator where TFLite has no operator for it."""
        channels_last = self.input_layout == "nhwc"
        path = write_whole(directory / f"{model.name}.tflite", tflite.to_bytes(model, channels_last))
        return arranged(formats.read(path), model) if channels_last else formats.read(path)
