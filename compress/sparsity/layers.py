"""Layers whose single weights can change: how their weights lie, and what they are multiplied with."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.keep import kept
from compress.lowering import batchnorm
from compress.lowering.nodes import argument, constant
from compress.model import Model, layer_name
from compress.pruning.analysis import named_arguments, operator
from compress.pruning.patches import SUPPORTED, Geometry
from targets.errors import UserError

TRANSPOSED = frozenset({"conv_transpose1d", "conv_transpose2d"})
WEIGHTED = SUPPORTED | TRANSPOSED | {"conv3d", "conv_transpose3d"}
FOLLOWED = SUPPORTED | TRANSPOSED
"""Those whose inputs can be laid out as rows."""


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer and its weight, by name; `groups` is 1 where it has none."""

    node: fx.Node
    name: str
    weight: str
    groups: int

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution, whose weights [inputs, outputs, …] have their channels the other way round."""
        return "transpose" in operator(self.node)

    def laid_out(self, weight: torch.Tensor) -> torch.Tensor:
        """A weight as [groups, output channels of a group, places of the kernel, input channels of a group]."""
        places = weight[0, 0].numel()
        if self.transposed:
            return weight.reshape(self.groups, -1, weight.shape[1], places).permute(0, 2, 3, 1)
        return weight.reshape(self.groups, -1, weight.shape[1], places).transpose(2, 3)

    def restored(self, laid_out: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """The weight of this shape that `laid_out` was made of."""
        return laid_out.permute(0, 3, 1, 2).reshape(shape) if self.transposed else laid_out.transpose(2, 3).reshape(shape)

    def rows(self, weight: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """What the layer multiplies its weights with, [groups, rows, places * input channels], for an input [N, C, …] or [..., C]."""
        places = weight[0, 0].numel()
        rows = _spread_out(self.node, weight, value) if self.transposed else Geometry.of(self.node, weight).rows(value)
        split = rows.reshape(*rows.shape[:2], -1, places)
        found: torch.Tensor = (split.flip(3) if self.transposed else split).transpose(2, 3).flatten(2)
        return found

    def results(self, value: torch.Tensor) -> torch.Tensor:
        """An output of the layer as the rows [groups, rows, output channels of a group] that belong to those of its input."""
        if operator(self.node) == "linear":
            return value.reshape(1, -1, value.shape[-1])
        split = value.reshape(len(value), self.groups, -1, value[0, 0].numel())
        return split.permute(1, 0, 3, 2).reshape(self.groups, -1, split.shape[2])


def find(model: Model, keep: Iterable[str], word: str) -> list[Layer]:
    """The layers of a model that aren't kept; a shared weight counts with its first layer.

    UserError, in the name of the pass `word`, where a pattern of `keep` matches no layer, or no weight is left.
    """
    layers: list[Layer] = []
    for node in model.graph.graph.nodes:
        weight: Any = node.args[1] if node.op == "call_function" and operator(node) in WEIGHTED else None
        if isinstance(weight, fx.Node) and weight.op == "get_attr" and str(weight.target) not in {layer.weight for layer in layers}:
            groups = named_arguments(node, node.args, node.kwargs).get("groups", 1)
            layers.append(Layer(node, layer_name(node), str(weight.target), groups))
    whole = kept(keep, (layer.name for layer in layers))
    left = [layer for layer in layers if layer.name not in whole]
    if not left:
        raise UserError(f"{word} finds no weights of convolutions or linear layers to change in {model.name}")
    return left


def norm_after(layer: Layer) -> fx.Node | None:
    """The BatchNorm that alone reads a layer's output."""
    user = next(iter(layer.node.users)) if len(layer.node.users) == 1 else None
    return user if user is not None and operator(user) == "batch_norm" else None


def amplification(graph: fx.GraphModule, layer: Layer) -> torch.Tensor:
    """How much the BatchNorm behind a layer multiplies each output channel by, float32 [groups, channels of a group]; 1 without one."""
    norm = norm_after(layer)
    if norm is None:
        weight = graph.get_parameter(layer.weight)
        return torch.ones(layer.groups, weight.shape[1] if layer.transposed else len(weight) // layer.groups)
    names = ("running_mean", "running_var", "weight", "bias")
    mean, variance, scale, bias = (None if argument(norm, name) is None else constant(graph, argument(norm, name)) for name in names)
    epsilon: Any = argument(norm, "eps")
    factors, _ = batchnorm.scale_and_shift(mean, variance, scale, bias, epsilon)  # type: ignore[arg-type]
    return factors.abs().float().reshape(layer.groups, -1)


def _spread_out(node: fx.Node, weight: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """The rows of the ordinary convolution of stride 1, kernel flipped, that a transposed one is: its pixels stand a stride apart."""
    given, rank = named_arguments(node, node.args, node.kwargs), weight.ndim - 2
    stride, padding, more, dilation = (_each(given[name], rank) for name in ("stride", "padding", "output_padding", "dilation"))
    sizes = [(size - 1) * step + 1 for size, step in zip(value.shape[2:], stride, strict=True)]
    spread = value.new_zeros(*value.shape[:2], *sizes)
    apart: Any = (..., *(slice(None, None, step) for step in stride))
    spread[apart] = value
    reach = [d * (size - 1) - p for d, size, p in zip(dilation, weight.shape[2:], padding, strict=True)]
    sides = tuple(side for low, extra in reversed(list(zip(reach, more, strict=True))) for side in (low, low + extra))
    lone = (1,) * (2 - rank)
    geometry = Geometry(False, given["groups"], lone + tuple(weight.shape[2:]), (1, 1), sides + (0, 0) * (2 - rank), lone + dilation)
    return geometry.rows(spread)


def _each(value: Any, rank: int) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,)
    return numbers * rank if len(numbers) == 1 else numbers
