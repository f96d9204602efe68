"""From a float graph to one with integers in it: quantize/dequantize pairs where the plan says, weights and biases stored as integers."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import fx

from compress.lowering.nodes import add_constant, constant, drop_unused, is_constant, is_float
from compress.quantization.parameters import INT32_LIMIT, Affine
from compress.quantization.plan import Group, Plan, Weighted
from compress.quantization.rounding import Rounding, nearest
from compress.quantization.schemes import largest_weight

quantized_decomposed = torch.ops.quantized_decomposed


def convert(
    graph: fx.GraphModule,
    plan: Plan,
    activations: Mapping[Group, Affine],
    weights: Mapping[fx.Node, torch.Tensor],
    rounding: Rounding = nearest,
) -> None:
    """Puts the integers of a plan into its graph, in place.

    `activations` gives each group its scale and zero point, `weights` each layer with weights the scales of its output channels
    (float32 [channels]), `rounding` makes integers of weights. Weights (int8, also where they have 4 bits) and biases (int32) are
    stored as integers under their own names, scales and zero points beside them (`conv.weight_scale`, `conv.weight_zero_point`).
    Every reader of integers has a dequantize node of its own, as converters like it.
    """
    conversion = _Conversion(graph, plan, activations, rounding)
    edges = float_edges(graph.graph)
    for layer in plan.weighted:
        conversion.weigh(layer, weights[layer.layer])
    for value, reader in edges:
        conversion.connect(value, reader)
    graph.graph.eliminate_dead_code()
    drop_unused(graph)
    graph.recompile()


def float_edges(graph: fx.Graph) -> list[tuple[fx.Node, fx.Node]]:
    """Each value of real numbers with each of its readers, in the readers' order."""
    return [(value, node) for node in graph.nodes for value in node.all_input_nodes if is_float(value)]


class _Conversion:
    def __init__(self, graph: fx.GraphModule, plan: Plan, activations: Mapping[Group, Affine], rounding: Rounding) -> None:
        self.graph, self.plan, self.activations, self.rounding = graph, plan, activations, rounding
        self.made: dict[tuple[fx.Node, Group], fx.Node] = {}
        constants = [node for node in graph.graph.nodes if is_constant(node) and is_float(node)]
        self.floats = {str(node.target): constant(graph, node) for node in constants}
        self.stored: dict[object, str] = {}
        self.versions: Counter[str] = Counter()
        replaced = {(node, layer.layer) for layer in plan.weighted for node in (layer.weight, layer.bias)}
        for node in constants:
            if any((node, user) not in replaced and (node, user) not in plan.by_place for user in node.users):
                self.versions[str(node.target)] = 1  # somebody still reads the real numbers under this name

    def connect(self, value: fx.Node, reader: fx.Node) -> None:
        """Puts integers between a value and one reader: those it is made as, then those of the reader's own scale where that is another."""
        real = value
        with self.graph.graph.inserting_before(reader):
            for group in self.plan.groups_between(value, reader):
                real = self._pair(value, real, group)
        if real is not value:
            reader.replace_input_with(value, real)

    def weigh(self, layer: Weighted, scales: torch.Tensor) -> None:
        """Stores a layer's weights and bias as integers."""
        limit = largest_weight(layer.bits)
        with self.graph.graph.inserting_before(layer.layer):
            integers = self.rounding(self.floats[str(layer.weight.target)], scales, layer.channel_axis, limit)
            weight = self._constant(layer.weight, integers, scales, (layer.channel_axis, -limit, limit, torch.int8))
            layer.layer.replace_input_with(layer.weight, weight)
            if layer.bias is not None:
                bias_scales = scales * self.activations[layer.source].scale
                integers = nearest(self.floats[str(layer.bias.target)], bias_scales, 0, INT32_LIMIT, torch.int32)
                bias = self._constant(layer.bias, integers, bias_scales, (0, -INT32_LIMIT, INT32_LIMIT, torch.int32))
                layer.layer.replace_input_with(layer.bias, bias)

    def _pair(self, value: fx.Node, real: fx.Node, group: Group) -> fx.Node:
        found = self.activations[group]
        kind = found.integers
        arguments = (found.scale, found.zero_point, kind.lowest, kind.highest, kind.dtype)
        if (value, group) not in self.made:
            if is_constant(value):
                integers = quantized_decomposed.quantize_per_tensor.default(self.floats[str(value.target)], *arguments)
                made = self._store(str(value.target), arguments, {"": integers})[0]
            else:
                made = self.graph.graph.call_function(quantized_decomposed.quantize_per_tensor.default, (real, *arguments))
            self.made[value, group] = made
        return self.graph.graph.call_function(quantized_decomposed.dequantize_per_tensor.default, (self.made[value, group], *arguments))

    def _constant(self, node: fx.Node, integers: torch.Tensor, scales: torch.Tensor, kind: tuple[int, int, int, torch.dtype]) -> fx.Node:
        """A dequantize node for stored integers; `kind` is the axis of their channels, their limits and type."""
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        parts = {"": integers, "_scale": scales, "_zero_point": zeros}
        stored = self._store(str(node.target), (*kind, scales.numpy().tobytes()), parts)
        return self.graph.graph.call_function(quantized_decomposed.dequantize_per_channel.default, (*stored, *kind))

    def _store(self, name: str, key: object, parts: Mapping[str, torch.Tensor]) -> list[fx.Node]:
        """Nodes that read constants which are stored once for each key; a name that is taken gets a number."""
        if (name, key) not in self.stored:
            self.versions[name] += 1
            self.stored[name, key] = name if self.versions[name] == 1 else f"{name}_{self.versions[name]}"
        return [add_constant(self.graph, self.stored[name, key] + part, value) for part, value in parts.items()]
