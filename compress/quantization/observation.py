"""Watches values flow through the float network: what calibration is."""

import math
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import fx

from compress.model import layer_name
from compress.quantization.ranges import BINS, Array, Histogram
from targets.errors import UserError

CHUNK = 1 << 17
"""Values that are counted at a time."""


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
            low, high = (float(end) for end in torch.aminmax(flat))
            if not math.isfinite(high - low):
                raise UserError(f"quantize: layer '{layer_name(n)}' gives numbers that aren't finite for calibration samples; check 'data'")
            self.seen[n.name].add(lambda span: counts(flat, span), low, high)
        return result


def counts(values: torch.Tensor, span: float) -> Array:
    """How many values [N] lie in each of BINS equal bins of [-span, span], which holds them all.

    Faster than `torch.histc`, the more so as what lies between values and counts stays in the processor's cache.
    """
    found = torch.zeros(BINS + 1, dtype=torch.int64)
    for part in torch.split(values, CHUNK):
        bins = (part * (BINS / (2 * span))).add_(BINS / 2).to(torch.int32)
        found += torch.bincount(bins, minlength=BINS + 1)
    found[BINS - 1] += found[BINS]  # the span itself
    in_bins: Array = found[:BINS].double().numpy()
    return in_bins
