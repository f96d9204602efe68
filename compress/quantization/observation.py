"""Watches values flow through the float network: what calibration is."""

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import fx

from compress.quantization.ranges import BINS, Histogram


def observe(graph: fx.GraphModule, values: Collection[fx.Node], batches: Iterable[tuple[torch.Tensor, ...]]) -> dict[str, Histogram]:
    """A histogram of each of these nodes' values, by the node's name, over all batches. Memory is that of one batch."""
    watching = _Watching(graph, values)
    with torch.no_grad():
        for batch in batches:
            watching.run(*batch)
    return watching.seen


class _Watching(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule, values: Collection[fx.Node]) -> None:
        super().__init__(graph)
        self.seen = {node.name: Histogram() for node in values}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.seen:
            flat = result.detach().flatten()
            low, high = torch.aminmax(flat)
            self.seen[n.name].add(lambda span: torch.histc(flat, BINS, -span, span).double().numpy(), float(low), float(high))
        return result
