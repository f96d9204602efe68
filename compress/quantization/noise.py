"""How much noise quantization puts into each layer's output, against the float network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.lowering.constants import is_stored
from compress.lowering.nodes import operator_name

PAIR = ("quantize_per_tensor", "dequantize_per_tensor")


@dataclass(frozen=True)
class Noise:
    """Signal to quantization noise of one value, in decibels; infinite where nothing was lost.

    `total`: as the quantized network computes it, with the noise of all layers before. `own`: what its own weights and the rounding
    of its own output add, its inputs being the float network's.
    """

    total: float
    own: float


def measure(
    graph: fx.GraphModule, integers: fx.GraphModule, values: Sequence[str], batches: Iterable[tuple[torch.Tensor, ...]]
) -> dict[str, Noise]:
    """The noise of these nodes' values, by their names, which a float graph and the quantized one that was made of it share.

    A value counts as its readers get it: rounded to its integers where it has some.
    """
    real, total, own = _Float(graph, values), _Quantized(integers, forced=False), _Quantized(integers, forced=True)
    with torch.no_grad():
        for batch in batches:
            real.run(*batch)
            for run in (total, own):
                run.reference = real.kept
                run.run(*batch)
    return {name: Noise(total.decibels(name), own.decibels(name)) for name in values}


def decibels(signal: float, noise: float) -> float:
    """Ten times the logarithm of a ratio of powers."""
    if noise <= 0.0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0.0 else -math.inf


class _Float(fx.Interpreter):
    """Keeps some of a batch's values."""

    def __init__(self, graph: fx.GraphModule, values: Sequence[str]) -> None:
        super().__init__(graph)
        self.values = frozenset(values)
        self.kept: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.values:
            self.kept[n.name] = result
        return result


class _Quantized(fx.Interpreter):
    """Compares values with their reference; `forced` goes on with the reference, unrounded, instead of what was computed."""

    def __init__(self, graph: fx.GraphModule, *, forced: bool) -> None:
        super().__init__(graph)
        self.forced = forced
        self.reference: Mapping[str, torch.Tensor] = {}
        self.signal: dict[str, float] = {}
        self.noise: dict[str, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        if self.forced and operator_name(n) in PAIR and not is_stored(n):
            return self.env[n.all_input_nodes[0]]
        result = super().run_node(n)
        wanted = self.reference.get(n.name)
        if wanted is None:
            return result
        difference = _rounded(n, result) - wanted
        self.signal[n.name] = self.signal.get(n.name, 0.0) + _power(wanted)
        self.noise[n.name] = self.noise.get(n.name, 0.0) + _power(difference)
        return wanted if self.forced else result

    def decibels(self, name: str) -> float:
        return decibels(self.signal.get(name, 0.0), self.noise.get(name, 0.0))


def _power(values: torch.Tensor) -> float:
    return float(values.square().sum(dtype=torch.float64))


def _rounded(node: fx.Node, value: torch.Tensor) -> torch.Tensor:
    """A value as integers hold it that it is stored as."""
    pair = torch.ops.quantized_decomposed
    for user in node.users:
        if operator_name(user) == "quantize_per_tensor":
            rounded: torch.Tensor = pair.dequantize_per_tensor.default(user.target(value, *user.args[1:]), *user.args[1:])  # type: ignore[operator]
            return rounded
    return value
