"""Convolutions and linear layers as matrices, and why others stay whole."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import argument, constant, is_constant, operator_name
from compress.model import Model, layer_name
from compress.pruning.patches import SUPPORTED, Geometry

WEIGHTED = SUPPORTED | {"conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "lstm", "gru", "embedding"}
"""Operators that are said to stay whole where they aren't factored."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer, called after its weight [groups, outputs, inputs * kernel], float64; both kinds of positions are those of one sample."""

    name: str
    node: fx.Node
    geometry: Geometry
    weights: torch.Tensor
    input_positions: int
    output_positions: int

    @property
    def groups(self) -> int:
        """How many groups of channels are computed apart."""
        return self.geometry.groups

    @property
    def kernel(self) -> int:
        """How many positions the kernel has; 1 for a linear layer and a 1x1 convolution."""
        height, width = self.geometry.kernel
        return height * width

    @property
    def inputs(self) -> int:
        """Input channels of a group."""
        return self.weights.shape[2] // self.kernel

    @property
    def outputs(self) -> int:
        """Output channels of a group."""
        return self.weights.shape[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return self.weights.numel() * self.output_positions


def find(model: Model) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """The layers that could be factored, weights [groups, outputs, inputs * kernel] as float64, and why others can't be, by name."""
    readers = _readers(model.graph.graph)
    layers, whole = [], {}
    for node in model.graph.graph.nodes:
        if operator_name(node) not in WEIGHTED:
            continue
        reason = _reason(model.graph, node, readers)
        if reason is None:
            layers.append(_layer(model, node))
        else:
            whole[_name(node)] = reason
    return tuple(layers), whole


def _reason(graph: fx.GraphModule, node: fx.Node, readers: dict[str, list[fx.Node]]) -> str | None:
    """Why a layer can't be factored."""
    if operator_name(node) not in SUPPORTED:
        return f"{operator_name(node)} is not factored"
    weight, bias = node.args[1], argument(node, "bias")
    if not isinstance(weight, fx.Node) or not is_constant(weight) or not (bias is None or is_constant(bias)):
        return "its weight is calculated"
    users = readers[str(weight.target)]
    if len(users) > 1:
        return f"its weight is used {len(users)} times, by {', '.join(sorted({_place(user) for user in users}))}"
    values = constant(graph, weight)
    groups = argument(node, "groups")
    if isinstance(groups, int) and groups > 1 and (values.shape[1] == 1 or values.shape[0] == groups):
        return "it is depthwise"
    return None


def _layer(model: Model, node: fx.Node) -> Layer:
    arguments: Any = node.args
    values = constant(model.graph, arguments[1])
    geometry = Geometry.of(node, values)
    weights = values.double().reshape(geometry.groups, values.shape[0] // geometry.groups, -1)
    batch = model.example[0].shape[0]
    channels = weights.shape[2] * geometry.groups // (geometry.kernel[0] * geometry.kernel[1])
    input_positions = arguments[0].meta["val"].numel() // batch // channels
    output_positions = node.meta["val"].numel() // batch // values.shape[0]
    return Layer(_name(node), node, geometry, weights, input_positions, output_positions)


def _name(node: fx.Node) -> str:
    """That of the layer's weight, where it has one."""
    weight = node.args[1] if len(node.args) > 1 else None
    return str(weight.target).removesuffix(".weight") if isinstance(weight, fx.Node) and is_constant(weight) else layer_name(node)


def _place(node: fx.Node) -> str:
    """The module that a node was called in."""
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
    return str(paths[-1]) if paths else node.name


def _readers(graph: fx.Graph) -> dict[str, list[fx.Node]]:
    """Who reads each constant, by its name."""
    found: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            found.setdefault(str(node.target), []).extend(node.users)
    return found
