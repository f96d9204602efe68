"""From a file on disk to a network that takes the data as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.reading.layout import Shape, fits, settled
from compress.reading.onnx import graph
from compress.reading.onnx.network import OnnxNetwork
from compress.reading.onnx.stored_integers import made_real
from compress.reading.trial import try_out
from targets.errors import UserError
from targets.formats import onnx as onnx_format

OLDEST = 7


def network(path: Path, example: Sequence[torch.Tensor]) -> nn.Module:
    """The network of an ONNX file. UserError for what is wrong with it, or where it doesn't take data like the example."""
    model = onnx_format.load(path)
    try:
        made = _network(model, [tuple(tensor.shape) for tensor in example])
        try_out(made, example)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return made.train(False)


def _network(model: Any, given: Sequence[Shape]) -> OnnxNetwork:
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST:
        raise UserError(f"has operator set {opset}; convert it to {OLDEST} or newer with onnx.version_converter")
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != len(given):
        raise UserError(f"takes {len(inputs)} inputs, the data gives {len(given)}")
    read = made_real(graph.read(model.graph, opset))
    return OnnxNetwork(read, [_shape(value, sizes) for value, sizes in zip(inputs, given, strict=True)])


def _shape(value: Any, given: Shape) -> Shape:
    """An input's shape for one sample; axes that the file leaves free have the data's sizes."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return given
    wanted = settled(given, tuple(axis.dim_value or None for axis in kind.shape.dim))
    if wanted is None or not fits(given, wanted):
        sizes = ", ".join(str(axis.dim_value or axis.dim_param or "?") for axis in kind.shape.dim[1:])
        raise UserError(f"takes samples of shape [{sizes}], the data's are {list(given[1:])}")
    return wanted
