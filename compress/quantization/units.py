"""The parts of a network whose scheme is chosen one by one: layers by name, each with the activation that its kernel computes."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import fx

from compress.lowering.nodes import constant, operator_name
from compress.model import layer_name
from compress.quantization.operators import rule
from compress.quantization.overrides import Override
from compress.quantization.parameters import Granularity
from compress.quantization.plan import Plan, moves
from compress.quantization.scales import is_fused
from compress.quantization.schemes import INTEGERS

BIAS_BYTES = {"int16x8": 8}
"""TFLite adds up 16-bit activations in int64; all others have biases of int32 or float32."""


@dataclass(frozen=True)
class Choice:
    """What a layer computes with: a scheme of `INTEGERS` or `float`, and whether its weights have a scale for each channel."""

    scheme: str
    granularity: Granularity = "channel"

    def beside(self, other: "Choice") -> str:
        """What it is called where layers have the other choice so far."""
        same = self.granularity == other.granularity or self.scheme == "float"
        return self.scheme if same else f"{self.scheme} per {self.granularity}"


@dataclass(frozen=True)
class Unit:
    """A layer: its operators, the names of their nodes (the last makes its output), and how many weights, channels, biases it has."""

    name: str
    operators: tuple[str, ...]
    nodes: tuple[str, ...]
    weights: int = 0
    channels: int = 0
    biases: int = 0

    @property
    def output(self) -> str:
        """The name of the node that makes the layer's output."""
        return self.nodes[-1]

    def bytes(self, choice: Choice) -> int:
        """Weights, biases and the scales of weights, as a file holds them."""
        biases = self.biases * BIAS_BYTES.get(choice.scheme, 4)
        if choice.scheme == "float":
            return 4 * self.weights + biases
        scales = 4 * (self.channels if choice.granularity == "channel" else min(self.channels, 1))
        return (self.weights * INTEGERS[choice.scheme].weight_bits + 7) // 8 + biases + scales

    def override(self, choice: Choice, before: Choice) -> Override:
        """The rule that makes a choice for this layer where it has another one so far."""
        scheme: Any = choice.scheme if choice.scheme != before.scheme else None
        granularity = choice.granularity if choice.granularity != before.granularity else None
        return Override(match=re.escape(self.name), scheme=scheme, weight_granularity=granularity)


def units(graph: fx.GraphModule, nodes: Collection[fx.Node], plan: Plan) -> dict[str, Unit]:
    """The units of a float graph by their names, in its order, of those `nodes` that have an integer form.

    `plan` is one in which all of these compute with integers. Operators that only move numbers are part of no unit: they go with
    those that make the numbers. A weight that several layers share is counted with the first.
    """
    found: dict[str, Unit] = {}
    names: dict[fx.Node, str] = {}
    for node in nodes:
        if rule(node) is None or moves(node):
            continue
        producer = node.args[0] if is_fused(node, nodes) else None
        names[node] = name = names[producer] if isinstance(producer, fx.Node) else layer_name(node)
        before = found.get(name, Unit(name, (), ()))
        found[name] = Unit(name, (*before.operators, operator_name(node)), (*before.nodes, node.name))
    return found | _weighted(graph, found, names, plan)


def _weighted(graph: fx.GraphModule, found: Mapping[str, Unit], names: Mapping[fx.Node, str], plan: Plan) -> dict[str, Unit]:
    made: dict[str, Unit] = {}
    counted: set[object] = set()
    for layer in plan.weighted:
        unit = made.get(names[layer.layer], found[names[layer.layer]])
        weight = constant(graph, layer.weight)
        biases = 0 if layer.bias is None else constant(graph, layer.bias).numel()
        if layer.weight.target not in counted:
            counted.add(layer.weight.target)
            channels = unit.channels + weight.shape[layer.channel_axis]
            unit = replace(unit, weights=unit.weights + weight.numel(), channels=channels, biases=unit.biases + biases)
        made[unit.name] = unit
    return made
