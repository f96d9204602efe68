"""An ONNX file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from compress.lowering.nodes import is_constant, operator_name
from compress.model import Model, capture, refresh
from compress.reading.folding import fold
from compress.reading.inputs import Input, described
from compress.reading.onnx.file import network
from compress.reading.tidy import cancel, join_biases
from compress.reading.unreadable import only_named
from compress.sources.base import SourceOptions
from targets.formats import onnx


@dataclass(frozen=True)
class Onnx:
    """Becomes a torch graph with the file's initializers as parameters under their own names, operator sets 7 and newer.

    A file whose images are NHWC (exported from TensorFlow) is given NCHW ones, as all data here are.
    """

    kind: ClassVar[str] = "an ONNX file (.onnx)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is an ONNX file, by its first field: a model's version of the format, or by its name."""
        path = options.path
        return path.is_file() and (onnx.is_onnx(path) or only_named(path, ".onnx"))

    def inputs(self) -> tuple[Input, ...]:
        """The graph's inputs that are no initializers."""
        return tuple(described(*each) for each in onnx.open_inputs(self.options.path))

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError for a damaged file, an operator that isn't known, or inputs that are not the data's."""
        path = self.options.path
        captured = capture(network(path, tuple(example)), tuple(example), self.options.name or path.stem)
        return replace(_finished(captured), labels=self.options.labels)


def _finished(model: Model) -> Model:
    """The model without what a converter left behind; with integers in its graph it counts as quantized."""
    graph = model.graph
    quantized = any(operator_name(node).startswith("quantize_per") and not is_constant(node.args[0]) for node in graph.graph.nodes)
    fold(graph, keep=lambda node: quantized and operator_name(node).startswith("dequantize_per"))
    refresh(graph, model.example)
    cancel(graph)
    join_biases(graph)
    refresh(graph, model.example)
    return replace(model, stage="quantized") if quantized else model
