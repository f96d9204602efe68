"""The TFLite bytes of a model, made once however many exporters ask for them."""

import re
from collections.abc import Collection, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import fx

from compress.lowering import kernels, litert, stored_weights
from compress.lowering.constants import four_bit_weights
from compress.lowering.nodes import constant, output_layers
from compress.model import Model
from compress.quantization.schemes import INTEGERS
from compress.unlifted import network
from targets.errors import ExportError

MOVES = {"DEQUANTIZE", "TRANSPOSE", "RESHAPE", "PAD"}
"""What may stand in float between an integer layer and one in float, called after either."""
NUMBERED = re.compile(r"_\d+$")
"""What a name that is taken gets."""

_converted: WeakKeyDictionary[Model, dict[bool, bytes]] = WeakKeyDictionary()


def to_bytes(model: Model, channels_last: bool) -> bytes:
    """The model as a TFLite file for one sample, NHWC where `channels_last`; ExportError naming layer and operator where it can't be."""
    held = network.held(model)
    if held is not None:
        return _as_it_came(model, held.content, channels_last)
    made = _converted.setdefault(model, {})
    if channels_last not in made:
        without = kernels.refusal(_int16(model), ["tflite"])
        if without is not None:
            raise ExportError(without)
        made[channels_last] = _tidy(model, litert.convert(model, channels_last))
    return made[channels_last]


def _as_it_came(model: Model, content: bytes, channels_last: bool) -> bytes:
    if not channels_last and network.channels_last(model):
        raise ExportError("tflite: this network is a TFLite file with images NHWC, and keeps that; leave 'input_layout' out")
    return content


def _tidy(model: Model, content: bytes) -> bytes:
    from compress.lowering import (
        flatten_order,
        halved_constants,
        tflite_integers,
        tflite_names,
        tflite_operators,
        tflite_weights,
    )
    from targets.formats import tflite_objects

    file = tflite_objects.read(content)
    file.description = "edgepress"
    tflite_operators.write_builtins(file)
    read_as_real = tflite_weights.store(file, stored_weights.stored(model.graph))
    flatten_order.reorder(file)
    tflite_weights.read_channels(file, read_as_real)
    tflite_integers.widen_biases(file)
    tflite_integers.allow_any_scale(file)
    tflite_integers.pack_weights(file, [scales.numpy().tobytes() for scales in four_bit_weights(model.graph).values()])
    _refuse_without_kernel(file)
    inputs = [node.name for node in model.graph.graph.nodes if node.op == "placeholder"]
    tflite_names.rename(file, inputs, output_layers(model.graph), _weighted(model))
    if any(constant(model.graph, node).dtype == torch.float16 for node in model.graph.graph.nodes if node.op == "get_attr"):
        halved_constants.halve(file)
    _refuse_floats(file, _schemes(model))
    return tflite_objects.write(file)


def _int16(model: Model) -> dict[fx.Node, str]:
    """The operators that read int16."""
    return {node: "int16x8" for node in model.graph.graph.nodes if any(torch.int16 in value.args for value in node.all_input_nodes)}


def _schemes(model: Model) -> dict[str, str]:
    """What the last pass that chose schemes says of each layer."""
    said: list[dict[str, str]] = [step.details["layers"] for step in model.history if "layers" in step.details]
    return said[-1] if said else {}


def _refuse_without_kernel(file: Any) -> None:
    """The converter writes what it can't lower as StableHLO operators, most of which no runtime has."""
    from targets.formats.tflite_objects import operator_names

    without = [name for name in operator_names(file) if name.startswith("STABLEHLO_") and name != "STABLEHLO_COMPOSITE"]
    if without:
        operator = without[0].removeprefix("STABLEHLO_").lower()
        raise ExportError(f"operator '{operator}': TFLite's runtime has no kernel for it; {litert.CURE}")


def _refuse_floats(file: Any, schemes: Mapping[str, str]) -> None:
    """A converter that falls back to float says nothing; we do. In a network partly in float, operators go by their layers' names."""
    from targets.formats.tflite_objects import FLOATS, operator_names, text

    graph = file.subgraphs[0]
    everywhere = bool(schemes) and all(scheme in INTEGERS for scheme in schemes.values())
    for operator, kind in zip(graph.operators, operator_names(file), strict=True):
        made = [graph.tensors[index] for index in operator.outputs]
        name = text(made[0].name)
        layer = name if name in schemes else NUMBERED.sub("", name)
        integer = everywhere or (kind not in MOVES and schemes.get(layer) in INTEGERS)
        if integer and any(tensor.type in FLOATS for tensor in made):
            raise ExportError(f"layer '{name}': TFLite has no integer form of it; leave it in float with 'overrides' of quantize")


def _weighted(model: Model) -> Collection[str]:
    return {str(node.target).rpartition(".")[0] for node in model.graph.graph.nodes if node.op == "get_attr"}
