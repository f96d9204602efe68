"""SmoothQuant (Xiao et al. 2023): outliers of activations move into the weights that read them, before static quantization.

Neural Compressor's own needs Intel's extension, which ends at torch 2.8; this is the same formula with its default strength.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import argument, constant, is_constant, operator_name, set_constant
from compress.quantization.neural_compressor.products import weight_name
from compress.quantization.neural_compressor.request import Samples

STRENGTH = 0.5
"""The paper's alpha: 0 leaves activations alone, 1 makes all their channels equally large."""
SMALLEST = 1e-5


@dataclass(frozen=True)
class _Seam:
    """A layer whose output channels can be divided by factors, and the linear layers, all readers, whose columns are multiplied."""

    maker: fx.Node
    value: fx.Node
    readers: tuple[fx.Node, ...]


def smooth(graph: fx.GraphModule, layers: Collection[fx.Node], samples: Samples) -> int:
    """Changes constants of a float graph, in place; its function stays the same. Gives how many of the linear layers were smoothed.

    A layer is smoothed where the factors go into the layer norm or linear layer before it (also through a relu).
    """
    found = [seam for value in dict.fromkeys(node.args[0] for node in layers) if (seam := _seam(value, layers)) is not None]
    largest = _Largest(graph, [seam.value for seam in found])
    for batch in samples:
        largest.run(*batch)
    for seam in found:
        _apply(graph, seam, largest.seen[seam.value.name])
    return sum(len(seam.readers) for seam in found)


class _Largest(fx.Interpreter):
    """Keeps the largest magnitude of each channel (the last axis) of some values."""

    def __init__(self, graph: fx.GraphModule, values: Collection[fx.Node]) -> None:
        super().__init__(graph)
        self.seen = {value.name: torch.zeros(()) for value in values}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.seen:
            self.seen[n.name] = torch.maximum(self.seen[n.name], result.detach().abs().flatten(0, -2).amax(0))
        return result


def _seam(value: Any, layers: Collection[fx.Node]) -> _Seam | None:
    maker = value.args[0] if operator_name(value) == "relu" else value
    readers = tuple(value.users)
    if operator_name(maker) not in ("layer_norm", "linear") or (maker is not value and list(maker.users) != [value]):
        return None
    wanted = all(reader in layers and operator_name(reader) == "linear" and reader.args[0] is value for reader in readers)
    read = [(layer, argument(layer, "weight")) for layer in (maker, *readers)]
    if argument(maker, "bias") is not None:
        read.append((maker, argument(maker, "bias")))
    alone = all(isinstance(found, fx.Node) and is_constant(found) and list(found.users) == [layer] for layer, found in read)
    return _Seam(maker, value, readers) if wanted and alone else None


def _apply(graph: fx.GraphModule, seam: _Seam, largest: torch.Tensor) -> None:
    weights = torch.stack([constant(graph, argument(reader, "weight")).abs().amax(0) for reader in seam.readers]).amax(0)
    factors = (largest**STRENGTH / weights.clamp(min=SMALLEST) ** (1 - STRENGTH)).clamp(min=SMALLEST)
    factors = torch.where(largest == 0, torch.ones_like(factors), factors)
    for name in ("weight", "bias"):
        found = argument(seam.maker, name)
        if isinstance(found, fx.Node):
            values = constant(graph, found)
            set_constant(graph, str(found.target), values / (factors if values.dim() == 1 else factors[:, None]))
    for reader in seam.readers:
        set_constant(graph, weight_name(reader), constant(graph, argument(reader, "weight")) * factors)
