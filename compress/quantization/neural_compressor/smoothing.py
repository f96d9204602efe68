"""SmoothQuant (Xiao et al. 2023): outliers of activations move into the weights that read them, before static quantization.

Neural Compressor's own needs Intel's extension, which ends at torch 2.8; this is the same formula with its default strength.
"""

from collections.abc import Collection
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import argument, constant
from compress.quantization.neural_compressor import seams
from compress.quantization.neural_compressor.request import Samples

STRENGTH = 0.5
"""The paper's alpha: 0 leaves activations alone, 1 makes all their channels equally large."""
SMALLEST = 1e-5


def smooth(graph: fx.GraphModule, layers: Collection[fx.Node], samples: Samples) -> int:
    """Changes constants of a float graph, in place; its function stays the same. Gives how many of the linear layers were smoothed."""
    found = seams.find(layers)
    largest = _Largest(graph, [seam.value for seam in found])
    with torch.no_grad():
        for batch in samples:
            largest.run(*batch)
    for seam in found:
        weights = torch.stack([constant(graph, argument(reader, "weight")).abs().amax(0) for reader in seam.readers]).amax(0)
        seen = largest.seen[seam.value.name]
        factors = (seen**STRENGTH / weights.clamp(min=SMALLEST) ** (1 - STRENGTH)).clamp(min=SMALLEST)
        seams.apply(graph, seam, torch.where(seen == 0, torch.ones_like(factors), factors))
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
