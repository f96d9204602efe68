"""The TFLite bytes of a model, made once however many exporters ask for them."""

from collections.abc import Collection
from weakref import WeakKeyDictionary

import torch

from compress.lowering import litert
from compress.lowering.nodes import constant, output_layers
from compress.model import Model

_converted: WeakKeyDictionary[Model, dict[bool, bytes]] = WeakKeyDictionary()


def to_bytes(model: Model, channels_last: bool) -> bytes:
    """The model as a TFLite file for one sample, NHWC where `channels_last`; ExportError naming layer and operator where it can't be."""
    made = _converted.setdefault(model, {})
    if channels_last not in made:
        made[channels_last] = _tidy(model, litert.convert(model, channels_last))
    return made[channels_last]


def _tidy(model: Model, content: bytes) -> bytes:
    from compress.lowering import flatbuffer, halved_constants, tflite_names  # noqa: PLC0415  only for an export

    file = flatbuffer.read(content)
    file.description = "edgepress"
    inputs = [node.name for node in model.graph.graph.nodes if node.op == "placeholder"]
    tflite_names.rename(file, inputs, output_layers(model.graph), _weighted(model))
    if any(constant(model.graph, node).dtype == torch.float16 for node in model.graph.graph.nodes if node.op == "get_attr"):
        halved_constants.halve(file)
    return flatbuffer.write(file)


def _weighted(model: Model) -> Collection[str]:
    return {str(node.target).rpartition(".")[0] for node in model.graph.graph.nodes if node.op == "get_attr"}
