"""Neural Compressor's static quantization: the ranges of activations and the scales of weights that its PT2E flow chooses."""

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import fx
from torch._subclasses import FakeTensorMode

from compress.lowering.nodes import argument, constant, operator_name
from compress.lowering.quiet import quiet
from compress.quantization.chosen import Chosen, Weights
from compress.quantization.neural_compressor.products import weight_name
from compress.quantization.neural_compressor.request import Samples
from compress.quantization.neural_compressor.tool import tool


def static(graph: fx.GraphModule, layers: Collection[fx.Node], samples: Samples) -> Chosen:
    """What it chooses for a float graph: uint8 activations by moving averages of extremes, int8 weights a scale for each channel."""
    inc = tool()
    with quiet(), torch.no_grad():
        prepared = inc.prepare(_exported(graph), inc.StaticQuantConfig())
        for batch in samples:
            prepared(*batch)
        converted = inc.convert(prepared)
    ranges, scales = {}, {}
    for node in converted.graph.nodes:
        if operator_name(node) == "quantize_per_tensor":
            value, scale, zero_point, lowest, highest, _ = node.args
            ranges[value.name] = ((lowest - zero_point) * scale, (highest - zero_point) * scale)
        elif operator_name(node) == "quantize_per_channel":
            scales[str(node.args[0].target)] = constant(converted, node.args[1])
    weights = {
        node.name: Weights(constant(graph, argument(node, "weight")), scales[weight_name(node)])
        for node in layers
        if weight_name(node) in scales
    }
    return Chosen(ranges, weights)


def _exported(graph: fx.GraphModule) -> Any:
    """A copy as Neural Compressor's own `export` gives it."""
    made: Any = copy.deepcopy(graph)
    mode = FakeTensorMode()
    for node in made.graph.nodes:
        if isinstance(node.meta.get("val"), torch.Tensor):
            node.meta["val"] = mode.from_tensor(node.meta["val"])
    made._exported, made.dynamic_shapes = True, None  # noqa: SLF001  the mark that `export` leaves
    return made
