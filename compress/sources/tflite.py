"""A TFLite file, lifted to torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from compress.model import Model
from compress.reading.inputs import Input, of_file
from compress.reading.unreadable import only_named
from compress.sources.base import SourceOptions
from targets import formats
from targets.formats import tflite


@dataclass(frozen=True)
class Tflite:
    """Becomes a torch graph with images NCHW, its weights as parameters of modules called as the layers that TensorFlow made them of.

    A quantized file keeps its integers and scales: what is exported has them again, and passes have nothing to train.
    """

    kind: ClassVar[str] = "a TFLite file (.tflite)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is a TFLite flatbuffer, by its identifier, or by its name."""
        path = options.path
        return path.is_file() and (formats.identifier(path) == b"TFL3" or only_named(path, ".tflite"))

    def inputs(self) -> tuple[Input, ...]:
        """The graph's inputs."""
        return of_file(tflite.read(self.options.path).inputs)

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError for a damaged file, an operator that isn't known, or inputs that are not the data's."""
        from compress.reading.tflite.lifting import lift

        path = self.options.path
        return replace(lift(path, example, path, self.options.name or path.stem), labels=self.options.labels)
