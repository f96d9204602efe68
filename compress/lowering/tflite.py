"""The TFLite bytes of a model, made once however many exporters ask for them."""

from collections.abc import Collection
from typing import Any
from weakref import WeakKeyDictionary

import torch

from compress.lowering import litert, stored_weights
from compress.lowering.constants import four_bit_weights
from compress.lowering.nodes import constant, output_layers
from compress.model import Model
from targets.errors import ExportError

_converted: WeakKeyDictionary[Model, dict[bool, bytes]] = WeakKeyDictionary()


def to_bytes(model: Model, channels_last: bool) -> bytes:
    """The model as a TFLite file for one sample, NHWC where `channels_last`; ExportError naming layer and operator where it can't be."""
    made = _converted.setdefault(model, {})
    if channels_last not in made:
        made[channels_last] = _tidy(model, litert.convert(model, channels_last))
    return made[channels_last]


def _tidy(model: Model, content: bytes) -> bytes:
    from compress.lowering import (
        flatbuffer,
        flatten_order,
        halved_constants,
        tflite_integers,
        tflite_names,
        tflite_operators,
        tflite_weights,
    )

    file = flatbuffer.read(content)
    file.description = "edgepress"
    tflite_operators.write_builtins(file)
    read_as_real = tflite_weights.store(file, stored_weights.stored(model.graph))
    flatten_order.reorder(file)
    tflite_weights.read_channels(file, read_as_real)
    tflite_integers.widen_biases(file)
    tflite_integers.pack_weights(file, [scales.numpy().tobytes() for scales in four_bit_weights(model.graph).values()])
    _refuse_without_kernel(file)
    inputs = [node.name for node in model.graph.graph.nodes if node.op == "placeholder"]
    tflite_names.rename(file, inputs, output_layers(model.graph), _weighted(model))
    if any(constant(model.graph, node).dtype == torch.float16 for node in model.graph.graph.nodes if node.op == "get_attr"):
        halved_constants.halve(file)
    if _integers_only(model):
        _refuse_floats(file)
    return flatbuffer.write(file)


def _integers_only(model: Model) -> bool:
    """Whether a pass says that every layer computes with integers."""
    said = [step.details["layers"] for step in model.history if step.name == "quantize" and "layers" in step.details]
    layers: dict[str, str] = said[-1] if said else {}
    return bool(layers) and set(layers.values()) == {"int8"}


def _refuse_without_kernel(file: Any) -> None:
    """The converter writes what it can't lower as StableHLO operators, most of which no runtime has."""
    from compress.lowering.flatbuffer import operator_names

    without = [name for name in operator_names(file) if name.startswith("STABLEHLO_") and name != "STABLEHLO_COMPOSITE"]
    if without:
        operator = without[0].removeprefix("STABLEHLO_").lower()
        raise ExportError(f"operator '{operator}': TFLite's runtime has no kernel for it; {litert.CURE}")


def _refuse_floats(file: Any) -> None:
    """A converter that falls back to float says nothing; we do."""
    from compress.lowering.flatbuffer import FLOATS

    graph = file.subgraphs[0]
    for operator in graph.operators:
        if any(graph.tensors[index].type in FLOATS for index in operator.outputs):
            name = graph.tensors[operator.outputs[0]].name
            raise ExportError(f"layer '{name}': TFLite has no integer form of it; leave it in float with 'overrides' of quantize")


def _weighted(model: Model) -> Collection[str]:
    return {str(node.target).rpartition(".")[0] for node in model.graph.graph.nodes if node.op == "get_attr"}
