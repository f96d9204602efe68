"""How far channels must be scaled for the least noise of rounding: measured gains, and a convex problem over all factors at once.

Cross-layer equalization (Nagel et al. 2019) evens out the ranges of two layers' weights. Where weights have a scale for each output
channel, the activations between them count more: all channels of a tensor share a scale, and small ones drown. So the whole variance
that rounding adds to the network's output is made smallest, to first order, activations and weights together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.model import first_output
from compress.pruning.analysis import Analysis
from compress.quantization.operators import rule
from compress.quantization.plan import Plan
from compress.quantization.rescaling import by_input
from compress.quantization.schemes import Integers, largest_weight

STEPS = 300
LARGEST = 7.0
"""Natural logarithm of the largest factor, about a thousand."""


class Gains(fx.Interpreter):
    """Runs samples forwards and backwards, one at a time, and gathers extremes of values and squared slopes of the output.

    The slopes are those by each value and each weight. A squared one tells how much variance a unit of it at this place makes there.
    """

    def __init__(self, graph: fx.GraphModule, values: Iterable[fx.Node], seed: int) -> None:
        super().__init__(graph)
        self.squares: dict[Any, torch.Tensor] = {}
        self.high: dict[fx.Node, torch.Tensor] = {}
        self.low: dict[fx.Node, torch.Tensor] = {}
        self._weights = {
            name: tensor.detach().requires_grad_() for name, tensor in graph.state_dict().items() if tensor.is_floating_point()
        }
        self._wanted = set(values)
        self._live: dict[fx.Node, torch.Tensor] = {}
        self._random = torch.Generator().manual_seed(seed)

    def add(self, sample: tuple[torch.Tensor, ...]) -> None:
        """One sample (batch size 1): slopes of a sum of the network's outputs with random signs, which stand for all outputs alike."""
        output = first_output(self.run(*(tensor.clone().requires_grad_() for tensor in sample)))
        signs = torch.randint(0, 2, output.shape, generator=self._random) * 2.0 - 1.0
        sources: dict[Any, torch.Tensor] = self._live | self._weights
        slopes = torch.autograd.grad((output * signs).sum(), list(sources.values()), allow_unused=True)
        for key, slope in zip(sources, slopes, strict=True):
            if slope is not None:
                self.squares[key] = self.squares.get(key, 0.0) + slope.double().square()
        for node, value in self._live.items():
            self.high[node] = torch.maximum(self.high.get(node, torch.zeros(())), value.detach())
            self.low[node] = torch.maximum(self.low.get(node, torch.zeros(())), -value.detach())

    def run_node(self, n: fx.Node) -> Any:
        """Remembers values on the way."""
        if n.op == "get_attr" and str(n.target) in self._weights:
            return self._weights[str(n.target)]
        result = super().run_node(n)
        if n in self._wanted and isinstance(result, torch.Tensor) and result.requires_grad:
            self._live[n] = result
        return result


@dataclass(frozen=True)
class Rounding:
    """What is rounded with common scales: each entry's scale (its number), class of channel, size and gain, [entries].

    An activation's scale follows from its largest and its smallest value, both sizes; a weight's from the largest size.
    """

    scales: torch.Tensor
    classes: torch.Tensor
    sizes: tuple[torch.Tensor, ...]
    gains: torch.Tensor
    steps: int

    def variance(self, factors: torch.Tensor) -> torch.Tensor:
        """What it adds to the output's variance when channels are multiplied by factors, float64 [classes]."""
        if not len(self.scales):
            return torch.zeros((), dtype=torch.float64)
        factor = factors[self.classes]
        count = int(self.scales.max()) + 1
        largest = [factor.new_zeros(count).scatter_reduce(0, self.scales, size * factor, "amax") for size in self.sizes]
        noise = factor.new_zeros(count).index_add(0, self.scales, self.gains / factor.square())
        step: torch.Tensor = torch.stack(largest).sum(0) / self.steps
        return (step.square() * noise).sum() / 12


def of_activations(plan: Plan, analysis: Analysis, gains: Gains, integers: Integers) -> Rounding:
    """All activations whose scale isn't fixed. Values that are only moved about are not rounded again and have no gain."""
    parts = []
    for number, group in enumerate(plan.groups):
        for node in group.values if group.fixed is None else ():
            if node in gains.squares:
                classes, high, low, gain = _by_channel(node, analysis, gains)
                moved = rule(node)
                gain = torch.zeros_like(gain) if moved is not None and moved.family == "shared" else gain
                parts.append((torch.full_like(classes, number), classes, high, low, gain))
    scales, classes, high, low, gain = (torch.cat(each) for each in zip(*parts, strict=True))
    return Rounding(scales, classes, (high, low), gain, integers.levels - 1)


def _by_channel(node: fx.Node, analysis: Analysis, gains: Gains) -> tuple[torch.Tensor, ...]:
    labels = analysis.labels[node]
    axis = analysis.classes.axis_of(labels)
    rows = [each.double().movedim(axis or 0, 0).reshape(labels.shape[axis] if axis is not None else 1, -1) for each in _seen(node, gains)]
    first = labels.movedim(axis, 0).flatten(1)[:, 0] if axis is not None else labels.flatten()[:1]
    return analysis.classes.find(first), rows[0].amax(1), rows[1].amax(1), rows[2].sum(1)


def _seen(node: fx.Node, gains: Gains) -> tuple[torch.Tensor, ...]:
    return gains.high[node], gains.low[node], gains.squares[node]


def of_weights(graph: fx.GraphModule, analysis: Analysis, gains: Gains, integers: Integers) -> Rounding:
    """All layers whose channels are followed; a pair of an output and an input channel is one entry. Larger inputs make weights smaller."""
    parts, rows = [], 0
    for name in dict.fromkeys(str(node.target) for node in graph.graph.nodes if node.op == "get_attr"):
        if name not in gains.squares or not {0, 1} <= set(analysis.axes.get(name, ())):
            continue
        weight = gains.module.state_dict()[name].double()
        pairs = weight.shape[:2]
        classes = by_input(weight, analysis.classes.find(analysis.axes[name][1]))
        scales = torch.arange(rows, rows + len(weight))[:, None].expand(pairs)
        size, gain = weight.abs().reshape(*pairs, -1).amax(2), gains.squares[name].reshape(*pairs, -1).sum(2)
        parts.append([each.flatten() for each in (scales, classes, size, gain)])
        rows += len(weight)
    scales, classes, size, gain = (torch.cat(each) for each in zip(*parts, strict=True))
    return Rounding(scales, classes, (size,), gain, largest_weight(integers.weight_bits))


def best_factors(count: int, activations: Rounding, weights: Rounding) -> tuple[torch.Tensor, float, float]:
    """The factor of each class, float64 [count], that of class 0 being 1, and the output's variance before and after.

    In the logarithms of the factors the variance is made of exponentials, their sums and their maxima: convex, with one lowest place.
    """
    logarithms = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.Adam([logarithms], lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(descent, lambda step: (1 - step / STEPS) ** 2 + 1e-3)
    lowest, best, before = float("inf"), torch.ones(count, dtype=torch.float64), 0.0
    for step in range(STEPS):
        factors = torch.cat([torch.zeros(1, dtype=torch.float64), logarithms[1:]]).exp()
        variance = activations.variance(factors) + weights.variance(1 / factors)
        now = variance.item()
        before = now if step == 0 else before
        if now < lowest:
            lowest, best = now, factors.detach()
        (logarithms.grad,) = torch.autograd.grad(variance.clamp(min=1e-300).log(), [logarithms])
        descent.step()
        schedule.step()
        with torch.no_grad():
            logarithms.clamp_(-LARGEST, LARGEST)
    return best, before, lowest
