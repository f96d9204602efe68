"""Where factors can move between a layer's output and the weights that read it, while the network's function stays the same."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import argument, constant, is_constant, operator_name, set_constant
from compress.quantization.neural_compressor.products import weight_name


@dataclass(frozen=True)
class Seam:
    """A value, the constants that its maker multiplies and adds last (of its channels), and all its readers, which are linear layers.

    The maker is a linear layer, a layer norm, or a multiplication and an addition or subtraction of its own; a relu may come after it.
    """

    maker: fx.Node
    value: fx.Node
    divided: tuple[fx.Node, ...]
    readers: tuple[fx.Node, ...]


def find(layers: Collection[fx.Node]) -> list[Seam]:
    """The seams whose readers are all among these layers, in their order; their constants have no other reader."""
    values = dict.fromkeys(node.args[0] for node in layers if operator_name(node) == "linear")
    return [seam for value in values if (seam := _seam(value, layers)) is not None]


def apply(graph: fx.GraphModule, seam: Seam, factors: torch.Tensor) -> None:
    """Divides the maker's output by factors, float32 [channels], and multiplies the readers' columns: in the graph's constants."""
    for found in seam.divided:
        rows = operator_name(seam.maker) == "linear" and found is argument(seam.maker, "weight")
        set_constant(graph, str(found.target), constant(graph, found) / (factors[:, None] if rows else factors))
    for reader in seam.readers:
        set_constant(graph, weight_name(reader), constant(graph, argument(reader, "weight")) * factors)


def _seam(value: Any, layers: Collection[fx.Node]) -> Seam | None:
    maker = value.args[0] if operator_name(value) == "relu" else value
    readers = tuple(value.users)
    read = _constants(maker, value.meta["val"].shape[-1])
    if not read or (maker is not value and list(maker.users) != [value]):
        return None
    wanted = all(reader in layers and operator_name(reader) == "linear" and reader.args[0] is value for reader in readers)
    weights = [(argument(reader, "weight"), reader) for reader in readers]
    alone = all(isinstance(found, fx.Node) and list(found.users) == [layer] for found, layer in [*read, *weights])
    return Seam(maker, value, tuple(found for found, _ in read), readers) if wanted and alone else None


def _constants(maker: fx.Node, channels: int) -> list[tuple[fx.Node, fx.Node]]:
    """The constants that dividing a node's output divides, each with its reader; none where it can't be done."""
    name = operator_name(maker)
    if name in ("linear", "layer_norm"):
        both = [argument(maker, "weight"), argument(maker, "bias")]
        given = [(found, maker) for found in both if isinstance(found, fx.Node)]
        return given if is_constant(both[0]) and all(is_constant(found) for found, _ in given) else []
    if name not in ("mul", "add", "sub") or len(maker.all_input_nodes) != 2:
        return []
    vectors = [
        node for node in maker.all_input_nodes if is_constant(node) and list(node.meta["val"].shape[-1:]) == [node.meta["val"].numel()]
    ]
    if len(vectors) != 1 or vectors[0].meta["val"].numel() != channels:
        return []
    if name == "mul":
        return [(vectors[0], maker)]
    (other,) = (node for node in maker.all_input_nodes if node is not vectors[0])
    before = _constants(other, channels) if list(other.users) == [maker] else []
    return [*before, (vectors[0], maker)] if before else []
