"""From a file on disk to a network that takes the data as it is."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from compress.reading.layout import Shape, fits
from compress.reading.onnx import graph
from compress.reading.onnx.network import OnnxNetwork
from targets import formats
from targets.errors import UserError
from targets.registry import first_line

OLDEST = 7


def network(path: Path, example: Sequence[torch.Tensor]) -> nn.Module:
    """The network of an ONNX file. UserError for what is wrong with it, or where it doesn't take data like the example."""
    made, shapes = _read(path)
    if len(shapes) != len(example):
        raise UserError(f"{path}: takes {len(shapes)} inputs, the data gives {len(example)}")
    for shape, given in zip(shapes, example, strict=True):
        if not fits(tuple(given.shape), shape):
            raise UserError(f"{path}: takes samples of shape {list(shape[1:])}, the data's are {list(given.shape[1:])}")
    try:
        with torch.no_grad():
            made(*example)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
        raise UserError(f"{path}: can't be run: {first_line(error)}; check it with onnx.checker and in ONNX Runtime") from error
    return made.train(False)


def _read(path: Path) -> tuple[OnnxNetwork, list[Shape]]:
    import onnx

    artifact = formats.read(path)
    if artifact.format != "onnx":
        raise UserError(f"{path}: is no ONNX file")
    model = onnx.load(str(path))
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST:
        raise UserError(f"{path}: has operator set {opset}; convert it to {OLDEST} or newer with onnx.version_converter")
    shapes = [tensor.shape for tensor in artifact.inputs]
    try:
        return OnnxNetwork(graph.read(model.graph, opset), shapes), shapes
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
