"""A floating-point TFLite file, lifted to torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from compress.model import Model, capture, refresh
from compress.reading.folding import fold
from compress.reading.inputs import of_file
from compress.reading.layout import fits
from compress.reading.tidy import cancel
from compress.sources.base import Input, SourceOptions
from targets import formats
from targets.base import Artifact
from targets.errors import UserError
from targets.formats import tflite
from targets.registry import first_line


@dataclass(frozen=True)
class Tflite:
    """Becomes a torch graph with images NCHW, its weights as parameters of modules called as the file calls their results.

    Quantized files have no weights to train; they are measured, checked and compiled as they are.
    """

    kind: ClassVar[str] = "a TFLite file in floating point (.tflite)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is a TFLite flatbuffer, by its identifier, or by its name."""
        path = options.path
        return path.is_file() and (formats.identifier(path) == b"TFL3" or path.suffix == ".tflite")

    def inputs(self) -> tuple[Input, ...]:
        """The graph's inputs."""
        return of_file(tflite.read(self.options.path).inputs)

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError for a damaged or quantized file, an operator that isn't known, or inputs that are not the data's."""
        from compress.reading.tflite.network import TfliteNetwork

        path = self.options.path
        artifact = tflite.read(path)
        self._check(artifact, example)
        try:
            network = TfliteNetwork(tflite.load(path))
            with torch.no_grad():
                network(*example)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise UserError(f"{path}: can't be lifted to torch: {first_line(error)}; `edgepress profile` takes it as it is") from error
        model = capture(network, tuple(example), self.options.name or path.stem)
        fold(model.graph)
        refresh(model.graph, model.example)
        cancel(model.graph)
        refresh(model.graph, model.example)
        return replace(model, labels=self.options.labels)

    def _check(self, artifact: Artifact, example: Sequence[torch.Tensor]) -> None:
        path = self.options.path
        if artifact.quantized:
            raise UserError(
                f"{path}: is quantized already, so no pass can work on it; measure it with `edgepress profile`, turn it into C with "
                "`edgepress compile`, or start from the network it was made of"
            )
        if len(artifact.inputs) != len(example):
            raise UserError(f"{path}: takes {len(artifact.inputs)} inputs, the data gives {len(example)}")
        for tensor, given in zip(artifact.inputs, example, strict=True):
            if not fits(tuple(given.shape), tensor.shape):
                raise UserError(f"{path}: takes samples of shape {list(tensor.shape[1:])}, the data's are {list(given.shape[1:])}")
