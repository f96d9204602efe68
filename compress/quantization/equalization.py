"""How far channels must be scaled for the least noise of rounding: measured gains, and a convex problem over all factors at once.

Cross-layer equalization (Nagel et al. 2019) evens out the ranges of two layers' weights. Where weights have a scale for each output
channel, the activations between them count more: all channels of a tensor share a scale, and small ones drown. So the whole variance
that rounding adds to the network's output is made smallest, to first order, activations and weights together.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import fx

from compress.clustering.history import clustered_weights
from compress.context import Context
from compress.lowering.nodes import constant
from compress.model import Model
from compress.pruning.analysis import Analysis
from compress.pruning.labels import PINNED
from compress.quantization import static
from compress.quantization.gains import Gains
from compress.quantization.operators import rule
from compress.quantization.plan import Plan, plan
from compress.quantization.rescaling import followed, rescale
from compress.quantization.schemes import largest_weight
from compress.quantization.threads import one_thread

SAMPLES = 32
STEPS = 100
"""With three times as many the noise is lower by less than 2 %."""
LARGEST = 7.0
"""Natural logarithm of the largest factor, about a thousand."""
WEIGHT_SHARE = 0.1
"""What is left of the variance of rounded weights when roundings are chosen so that errors cancel (`adaround`, or balanced rounding)."""


class Rounded(Protocol):
    """Something that is rounded, and what that adds to the variance of the network's output."""

    def variance(self, factors: torch.Tensor) -> torch.Tensor:
        """The variance when channels are multiplied by factors, float64 [classes]."""

    def free(self) -> bool:
        """Whether any factor matters to it."""


@dataclass(frozen=True)
class Activations:
    """Channels of activations: each entry's scale (its number), class, largest, least (negated) and gain [entries]; each scale's steps."""

    scales: torch.Tensor
    classes: torch.Tensor
    high: torch.Tensor
    low: torch.Tensor
    gains: torch.Tensor
    steps: torch.Tensor

    def variance(self, factors: torch.Tensor) -> torch.Tensor:
        """All channels of a scale are rounded in steps that its largest and its least value, as they become, make."""
        factor = factors[self.classes]
        none = factor.new_zeros(len(self.steps))
        span = sum(none.scatter_reduce(0, self.scales, size * factor, "amax") for size in (self.high, self.low))
        noise = none.index_add(0, self.scales, self.gains / factor.square())
        return ((span / self.steps).square() * noise).sum() / 12

    def free(self) -> bool:
        """Whether any channel may be scaled."""
        return bool((self.classes != PINNED).any())


@dataclass(frozen=True)
class Weights:
    """Groups of layers, all of one shape: classes of the channels that they read [groups, inputs], the largest size and the gain of the
    weights between two channels [groups, outputs, inputs]."""

    classes: torch.Tensor
    sizes: torch.Tensor
    gains: torch.Tensor
    steps: int

    def variance(self, factors: torch.Tensor) -> torch.Tensor:
        """Larger inputs make weights smaller. An output's factor makes its weights, their scale and what follows no different."""
        factor = factors[self.classes]
        step = (self.sizes / factor[:, None]).amax(2) / self.steps
        noise = (self.gains @ factor.square()[:, :, None])[:, :, 0]
        return (step.square() * noise).sum() / 12

    def free(self) -> bool:
        """Whether any channel that they read may be scaled."""
        return bool((self.classes != PINNED).any())


@one_thread()
def equalize(model: Model, graph: fx.GraphModule, scheme: str, context: Context, samples: int = SAMPLES) -> list[str]:
    """Scales the channels of a model's float graph, in place, so that rounding in a scheme moves its output least.

    What came of the whole, a line for each layer, and what had to stay. `samples` of the calibration part show how much each place counts.
    """
    analysis = followed(replace(model, graph=graph))
    if not analysis.axes:
        return ["no layer's channels can be scaled", *analysis.notes]
    found = plan(graph.graph, {node: scheme for node in graph.graph.nodes if rule(node) is not None})
    gains = Gains(graph, found.values, context.seed)
    for sample in _single(context, samples):
        gains.add(sample)
    rounded: list[Rounded] = [*of_activations(found, analysis, gains), *of_weights(graph, found, analysis, gains)]
    factors, before, after = best_factors(analysis.classes.count, rounded)
    rescale(graph, analysis, factors)
    total = f"noise of rounding at the output, expected: {(after / max(before, 1e-30)) ** 0.5:.0%} of what it was"
    return [total, *_by_layer(analysis, factors), *analysis.notes]


def suits(model: Model, granularity: str) -> bool:
    """Whether nothing speaks against it: no clusters to tear apart, weights with scales for each channel, and not done before."""
    done = any(step.name == "equalize" for step in model.history)
    return not done and granularity == "channel" and not clustered_weights(model)


def _single(context: Context, count: int) -> Iterator[tuple[torch.Tensor, ...]]:
    part = context.data.calibration.first(count)
    with context.progress.task("equalizing", part.samples) as task:
        yield from static.batches(part, 1, task)


def of_activations(plan: Plan, analysis: Analysis, gains: Gains) -> list[Activations]:
    """All activations whose scale isn't fixed. Values that are only moved about are not rounded again and have no gain."""
    parts: list[tuple[torch.Tensor, ...]] = []
    steps: list[int] = []
    for group in plan.groups:
        found = [node for node in group.values if node in gains.squares] if group.fixed is None else []
        for node in found:
            classes, high, low, gain = _by_channel(node, analysis, gains)
            moved = rule(node)
            gain = torch.zeros_like(gain) if moved is not None and moved.family == "shared" else gain
            parts.append((torch.full_like(classes, len(steps)), classes, high, low, gain))
        if found:
            steps.append(group.integers.levels - 1)
    if not parts:
        return []
    scales, classes, high, low, gain = map(torch.cat, zip(*parts, strict=True))
    return [Activations(scales, classes, high, low, gain, torch.tensor(steps))]


def _by_channel(node: fx.Node, analysis: Analysis, gains: Gains) -> tuple[torch.Tensor, ...]:
    labels = analysis.labels[node]
    axis = analysis.classes.axis_of(labels)
    seen = (gains.high[node], gains.low[node], gains.squares[node])
    rows = [each.double().movedim(axis or 0, 0).reshape(labels.shape[axis] if axis is not None else 1, -1) for each in seen]
    first = labels.movedim(axis, 0).flatten(1)[:, 0] if axis is not None else labels.flatten()[:1]
    return analysis.classes.find(first), rows[0].amax(1), rows[1].amax(1), rows[2].sum(1)


def of_weights(graph: fx.GraphModule, plan: Plan, analysis: Analysis, gains: Gains) -> list[Weights]:
    """All layers whose channels are followed, those of one shape together."""
    alike: dict[tuple[int, ...], list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]] = defaultdict(list)
    for layer in plan.weighted:
        name = str(layer.weight.target)
        if name in gains.squares and {0, 1} <= set(analysis.axes.get(name, ())):
            weight, read = constant(graph, layer.weight).double(), analysis.classes.find(analysis.axes[name][1])
            shape = (len(read) // weight.shape[1], -1, weight.shape[1])
            size = weight.abs().reshape(*weight.shape[:2], -1).amax(2).reshape(shape)
            gain = gains.squares[name].reshape(*weight.shape[:2], -1).sum(2).reshape(shape) * WEIGHT_SHARE
            alike[layer.bits, *size.shape[1:]].append((read.reshape(len(size), -1), size, gain))
    stacked = {key: tuple(map(torch.cat, zip(*found, strict=True))) for key, found in alike.items()}
    return [Weights(classes, sizes, gain, largest_weight(key[0])) for key, (classes, sizes, gain) in stacked.items()]


def best_factors(count: int, rounded: Sequence[Rounded]) -> tuple[torch.Tensor, float, float]:
    """The factor of each class, float64 [count], that of `PINNED` being 1, and the output's variance before and after.

    In the logarithms of the factors the variance is made of exponentials, their sums and their maxima: convex, with one lowest place.
    """
    best = torch.ones(count, dtype=torch.float64)
    still = sum(each.variance(best).item() for each in rounded if not each.free())
    moving = [each for each in rounded if each.free()]
    logarithms = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.Adam([logarithms], lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(descent, lambda step: (1 - step / STEPS) ** 2 + 1e-3)
    lowest, before = float("inf"), still
    for step in range(STEPS if moving else 0):
        factors = torch.cat([torch.zeros(1, dtype=torch.float64), logarithms[1:]]).exp()
        variance = torch.stack([each.variance(factors) for each in moving]).sum()
        now = variance.item() + still
        before = now if step == 0 else before
        if now < lowest:
            lowest, best = now, factors.detach()
        (logarithms.grad,) = torch.autograd.grad(variance.clamp(min=1e-300).log(), [logarithms])
        descent.step()
        schedule.step()
        with torch.no_grad():
            logarithms.clamp_(-LARGEST, LARGEST)
    return best, before, min(lowest, before)


def _by_layer(analysis: Analysis, factors: torch.Tensor) -> list[str]:
    lines = []
    for weight, axes in analysis.axes.items():
        own = factors[analysis.classes.find(axes[0])].numpy()
        free = "its outputs stay as they are" if np.all(own == 1) else f"outputs times {own.min():.3g} to {own.max():.3g}"
        lines.append(f"{weight.removesuffix('.weight')}: {free}")
    return lines
