"""Schemes that need no calibration: integer weights, activations in float (`weight_only`) or rounded as they come (`dynamic`)."""

import copy
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import fx

from compress.lowering.nodes import add_constant, constant, drop_unused, is_constant, operator_name, rank
from compress.model import layer_name
from compress.quantization.overrides import Override
from compress.quantization.parameters import Granularity, WeightObserver, weight_scales
from compress.quantization.rounding import Rounding, balanced
from compress.quantization.schemes import largest_weight
from targets.errors import UserError

SCHEMES = ("dynamic", "weight_only")
Bits = Literal[4, 8]


@dataclass(frozen=True)
class Operator:
    """Where an operator has its weights, and their axes that count outputs and inputs."""

    position: int = 1
    channel_axis: int = 0
    input_axis: int = 1


OPERATORS = {
    **dict.fromkeys(("conv1d", "conv2d", "linear"), Operator()),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), Operator(channel_axis=1, input_axis=0)),
    "embedding": Operator(position=0),
}
CONVOLUTIONS = ("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")


@dataclass(frozen=True)
class Options:
    """What becomes of weights: `scheme` of SCHEMES, integers of so many `bits`, and what shares a scale.

    That is an output channel, the whole tensor or, where `block` is given, so many neighbours along the input axis. `observer` chooses
    scales, `rounding` the integers.
    """

    scheme: str
    bits: int = 8
    block: int | None = None
    observer: WeightObserver = "mse"
    rounding: Rounding = balanced


def check(scheme: str, bits: int, block: int | None, granularity: Granularity, overrides: Sequence[Override]) -> None:
    """Raises UserError for options that say nothing to a scheme, or contradict each other."""
    if scheme != "weight_only" and (bits, block) != (8, None):
        raise UserError(f"quantize: 'bits' and 'block' belong to scheme weight_only; leave them out with scheme {scheme}")
    if bits not in get_args(Bits):
        raise UserError(f"quantize: bits must be 4 or 8, not {bits}")
    if block is not None and block < 2:
        raise UserError(f"quantize: block must be 2 or more, not {block}")
    if block is not None and (granularity == "tensor" or any(rule.weight_granularity == "tensor" for rule in overrides)):
        raise UserError("quantize: 'block' gives each block of weights a scale, weight_granularity tensor all of them one; choose one")
    others = [rule.scheme for rule in overrides if rule.scheme not in (None, "float")]
    if scheme in SCHEMES and others:
        raise UserError(f"quantize: with scheme {scheme} overrides can leave layers in float, not make them {others[0]}")


def layers(graph: fx.GraphModule) -> list[fx.Node]:
    """The operators that have constant float weights which these schemes can store, in the graph's order."""
    return [node for node in graph.graph.nodes if operator_name(node) in OPERATORS and is_constant(_weight(node))]


def refuse(graph: fx.GraphModule, names: Sequence[str], scheme: str, exports: Collection[str]) -> None:
    """Raises UserError where no node is named, or where a format in `exports` has no kernels for the scheme."""
    if not names:
        raise UserError(f"quantize: scheme {scheme} makes weights of {', '.join(OPERATORS)} integers, and no such layer is there for it")
    if "c" in exports:
        node = next(node for node in graph.graph.nodes if node.name == names[0])
        kernel = f"{operator_name(node)} on float activations"
        raise UserError(
            f"quantize: scheme {scheme}: layer '{layer_name(node)}': C sources compute with integers only and have no {kernel}; "
            "use scheme int8, or leave 'c' out of 'export'"
        )


def store(
    graph: fx.GraphModule, names: Collection[str], options: Options, granularities: Mapping[str, Granularity]
) -> tuple[fx.GraphModule, list[str]]:
    """A copy of a float graph whose layers (by the names of their nodes) have integers for weights, and lines that say so.

    Integers have the weights' name (or, where others read the real numbers, one with a number), scales are beside them
    (`conv.weight_scale`). With scheme dynamic, what comes into a layer is rounded to int8 first.
    """
    made = copy.deepcopy(graph)
    nodes = [node for node in made.graph.nodes if node.name in names]
    storing = _Storing(made, nodes, options, granularities)
    for node in nodes:
        storing.store(node)
        if options.scheme == "dynamic":
            _round_input(node)
    made.graph.eliminate_dead_code()
    drop_unused(made)
    made.recompile()
    return made, _said(made, nodes, storing, options)


def _said(graph: fx.GraphModule, nodes: Sequence[fx.Node], storing: "_Storing", options: Options) -> list[str]:
    blocks = f"block of {options.block} inputs" if options.block else "channel"
    lines = [f"weights of {len(nodes)} layers to {options.bits} bits, a scale for each {blocks}"]
    if storing.whole:
        lines.append(f"a scale for each channel where {options.block} inputs don't divide a layer's: {', '.join(storing.whole)}")
    if options.scheme == "dynamic":
        lines.append("activations that go into them are rounded to int8 as they come")
    others = [node for node in graph.graph.nodes if any(map(_is_matrix, node.all_input_nodes)) and _is_other(node)]
    if others:
        lines.append(f"weights left in float: {', '.join(f'{layer_name(node)} ({operator_name(node)})' for node in others)}")
    return lines


def _weight(node: fx.Node) -> fx.Node:
    return cast(fx.Node, node.args[OPERATORS[operator_name(node)].position])


def _is_other(node: fx.Node) -> bool:
    name = operator_name(node)
    return bool(name) and name not in OPERATORS and not name.startswith("dequantize")


def _is_matrix(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return is_constant(node) and isinstance(value, torch.Tensor) and value.is_floating_point() and value.squeeze().dim() > 1


def _round_input(node: fx.Node) -> None:
    name, source = operator_name(node), node.args[0]
    if name == "embedding" or not isinstance(source, fx.Node):
        return
    rows = 1 if name in CONVOLUTIONS else rank(source) - 1
    with node.graph.inserting_before(node):
        rounded = node.graph.call_function(torch.ops.edgepress.round_dynamically.default, (source, rows))
    rounded.meta = source.meta | {"nn_module_stack": {"": (layer_name(node), "")}}
    node.replace_input_with(source, rounded)


class _Storing:
    def __init__(self, graph: fx.GraphModule, nodes: Sequence[fx.Node], options: Options, granularities: Mapping[str, Granularity]) -> None:
        self.graph, self.options, self.granularities = graph, options, granularities
        self.floats = {str(_weight(node).target): constant(graph, _weight(node)) for node in nodes}
        self.names: dict[tuple[str, int], str] = {}
        self.whole: list[str] = []
        readers = [(str(node.target), user) for node in graph.graph.nodes if is_constant(node) for user in node.users]
        self.versions = Counter({name: 1 for name, user in readers if name in self.floats and user not in nodes})

    def store(self, node: fx.Node) -> None:
        """Stores a layer's weights, which several layers may share."""
        weight, axes = _weight(node), OPERATORS[operator_name(node)]
        name = str(weight.target)
        values, block = self.floats[name], self.options.block
        if block is not None and values.shape[axes.input_axis] % block:
            self.whole.append(layer_name(node))
            block = None
        if (name, axes.channel_axis) not in self.names:
            self.versions[name] += 1
            self.names[name, axes.channel_axis] = name if self.versions[name] == 1 else f"{name}_{self.versions[name]}"
        stored = self.names[name, axes.channel_axis]
        with self.graph.graph.inserting_before(node):
            real = (
                self._blocks(stored, values, axes, block) if block else self._channels(stored, values, axes, self.granularities[node.name])
            )
        real.meta["val"] = values.to("meta")
        node.replace_input_with(weight, real)

    def _channels(self, name: str, values: torch.Tensor, axes: Operator, granularity: Granularity) -> fx.Node:
        bits = self.options.bits
        limit = largest_weight(bits)
        scales = weight_scales(values, axes.channel_axis, bits, self.options.observer, granularity)
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        kind = (axes.channel_axis, -limit, limit, torch.int8)
        integers = self.options.rounding(values, scales, axes.channel_axis, limit)
        parts = {"": integers, "_scale": scales, "_zero_point": zeros}
        constants = [add_constant(self.graph, name + ending, part) for ending, part in parts.items()]
        return self.graph.graph.call_function(torch.ops.quantized_decomposed.dequantize_per_channel.default, (*constants, *kind))

    def _blocks(self, name: str, values: torch.Tensor, axes: Operator, block: int) -> fx.Node:
        axis, bits = axes.input_axis, self.options.bits
        limit = largest_weight(bits)
        rows = values.movedim(axis, -1)
        scales = weight_scales(rows.reshape(-1, block), 0, bits, self.options.observer)
        scales = scales.reshape(*rows.shape[:-1], -1).movedim(-1, axis).contiguous()
        steps, ones = values / scales.repeat_interleave(block, axis), torch.ones(values.shape[axes.channel_axis])
        integers = self.options.rounding(steps, ones, axes.channel_axis, limit)
        constants = [add_constant(self.graph, name + ending, part) for ending, part in (("", integers), ("_scale", scales))]
        return self.graph.graph.call_function(torch.ops.edgepress.dequantize_per_block.default, (*constants, axis, -limit, limit))
