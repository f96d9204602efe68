"""ONNX: runs on ONNX Runtime, on every desktop, server, phone and Raspberry Pi."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from compress.lowering import onnx
from compress.lowering.files import write_whole
from compress.model import Model
from targets import formats
from targets.base import Artifact
from targets.errors import UserError

OPSETS = range(18, 24)
"""From the oldest that torch's exporter writes to the newest that the runtime we test with takes."""


@dataclass(frozen=True)
class Onnx:
    """An `.onnx` file, for any batch size where the network allows it, inputs in the network's own layout (NCHW).

    A quantized network becomes QDQ: int8 or int4 weights, int32 biases, and QuantizeLinear/DequantizeLinear pairs that a runtime fuses
    into integer operators. Inputs and outputs stay float32, as runtimes expect of QDQ files. All is in one file. Integers of 16 or 4
    bits came with opset 21, so a file with them has at least that.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    opset: int = 20

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise UserError(f"opset must be {OPSETS.start} to {OPSETS.stop - 1}, not {self.opset}")

    def __call__(self, model: Model, directory: Path) -> Artifact:
        """Writes `<model name>.onnx`; ExportError naming layer and operator where ONNX has no operator for it."""
        return formats.read(write_whole(directory / f"{model.name}.onnx", onnx.convert(model, self.opset)))
