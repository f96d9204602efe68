"""What schemes do to a network as a whole: calibrated once, quantized and judged as often as wanted."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import fx

from compress.context import Context
from compress.data.base import Array, Split
from compress.lowering import kernels
from compress.lowering.nodes import operator_name
from compress.metrics import Metric
from compress.model import Model, first_output
from compress.quantization import equalization, static
from compress.quantization.operators import rule
from compress.quantization.overrides import Override, granularities, resolve
from compress.quantization.parameters import Granularity, WeightObserver
from compress.quantization.plan import moves, plan
from compress.quantization.ranges import Histogram
from compress.quantization.rounding import ROUNDINGS, WeightRounding
from compress.quantization.units import Choice, Unit, units

BATCH = 64
Choices = Mapping[str, Choice]
"""What units compute with, by their names."""


@dataclass(frozen=True)
class Quality:
    """How near a network's outputs are to those of the float network.

    `divergence` is smooth, 0 where they are equal: for a classifier the mean Kullback-Leibler divergence of its classes'
    probabilities in nats, else noise power over signal power. `agreement` is the share of samples with the same top-1 (None where
    a sample has one value only), `metric` how good they are against the labels.
    """

    divergence: float
    agreement: float | None
    metric: float


@dataclass(frozen=True)
class Samples:
    """Inputs in batches, their labels [N, …] and the float network's outputs [N, …]."""

    batches: tuple[tuple[torch.Tensor, ...], ...]
    labels: Array
    reference: torch.Tensor
    metric: Metric

    def outputs(self, graph: fx.GraphModule) -> torch.Tensor:
        """What a graph gives."""
        with torch.no_grad():
            return torch.cat([first_output(graph(*batch)) for batch in self.batches])

    def judge(self, outputs: torch.Tensor) -> Quality:
        """The quality of outputs."""
        wanted = self.reference.flatten(1)
        found = outputs.reshape(wanted.shape)
        agreement = float((wanted.argmax(1) == found.argmax(1)).double().mean()) if wanted.shape[1] > 1 else None
        score = self.metric(outputs.numpy(), self.labels)
        classes = self.metric.name == "accuracy" and wanted.shape[1] > 1
        return Quality(_divergence(wanted, found) if classes else _power(wanted, found), agreement, score)


@dataclass(frozen=True)
class Quantization:
    """The options of the pass `quantize` that trials start from."""

    scheme: str = "int8"
    observer: str = "mse"
    weight_observer: WeightObserver = "mse"
    weight_granularity: Granularity = "channel"
    weight_rounding: WeightRounding = "balanced"
    equalize: bool = True
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, eq=False)
class Trials:
    """A calibrated float graph and samples to judge what is made of it. `start` is what `options` alone choose for each unit."""

    graph: fx.GraphModule
    options: Quantization
    units: Mapping[str, Unit]
    start: Choices
    seen: Mapping[str, Histogram]
    samples: Samples
    fixed: frozenset[str] = frozenset()
    """Units that the options' overrides are about."""

    def possible(self, name: str, scheme: str, formats: Collection[str]) -> bool:
        """Whether each of these formats has kernels for a unit with this scheme. C sources are integer from end to end."""
        nodes = [node for node in self.graph.graph.nodes if node.name in self.units[name].nodes]
        kernel = all(kernels.has_kernel(each, scheme, node) for each in formats for node in nodes)
        return kernel and not (scheme == "float" and "c" in formats)

    def overrides(self, choices: Choices) -> tuple[Override, ...]:
        """The rules that make these choices, after those of the options; units with the choice of the start need none."""
        return tuple(self.units[name].override(choice, self.start[name]) for name, choice in choices.items() if choice != self.start[name])

    def quantize(self, choices: Choices) -> fx.GraphModule:
        """The network as the pass makes it with the rules for these choices."""
        rules = (*self.options.overrides, *self.overrides(choices))
        schemes = {node.name: scheme for node, scheme in resolve(self.graph.graph, rules, self.options.scheme).items()}
        finely = granularities(self.graph.graph, rules, self.options.weight_granularity)
        options = self.options
        rounding = ROUNDINGS[options.weight_rounding]
        return static.to_integers(self.graph, schemes, self.seen, options.observer, options.weight_observer, finely, rounding=rounding)

    def judge(self, choices: Choices) -> Quality:
        """The quality of the network with these choices."""
        return self.samples.judge(self.samples.outputs(self.quantize(choices)))

    def bytes(self, choices: Choices) -> int:
        """Weights, biases and scales of all units."""
        return sum(unit.bytes(choices.get(name, self.start[name])) for name, unit in self.units.items())


def prepare(model: Model, context: Context, options: Quantization, split: Split, formats: Collection[str] = ()) -> Trials:
    """Calibrates a float network once for all schemes. `split` are the samples that quality is judged on.

    Operators that only move numbers, and can't move 16-bit ones in one of `formats`, stay with 8 bits unless the overrides say otherwise.
    Raises UserError for an operator that has no integer form and isn't left in float by the overrides, and without samples.
    """
    graph, _ = static.float_graph(model)
    if options.equalize and equalization.suits(model, options.weight_granularity):
        equalization.equalize(model, graph, options.scheme, context)
    options = replace(options, overrides=(*_movers(graph, formats), *options.overrides))
    schemes = resolve(graph.graph, options.overrides, options.scheme)
    finely = granularities(graph.graph, options.overrides, options.weight_granularity)
    wanted = plan(graph.graph, {node: "int8" for node in schemes if rule(node) is not None})
    unfixed = tuple(replace(group, fixed=None) for group in wanted.groups)  # a layer in float has no fixed range
    seen = static.calibrate(model, graph, replace(wanted, groups=unfixed), context)
    parts = units(graph, schemes, wanted)
    by_node = {node.name: Choice(scheme, finely[node.name]) for node, scheme in schemes.items()}
    start = {name: by_node[unit.nodes[0]] for name, unit in parts.items()}
    ruled = {node.name for node in schemes if any(override.fits(node) for override in options.overrides)}
    fixed = frozenset(name for name, unit in parts.items() if not ruled.isdisjoint(unit.nodes))
    return Trials(graph, options, parts, start, seen, _samples(model, graph, context, split), fixed)


def _movers(graph: fx.GraphModule, formats: Collection[str]) -> list[Override]:
    nodes = [node for node in graph.graph.nodes if moves(node)]
    stuck = [operator_name(node) for node in nodes if not all(kernels.has_kernel(each, "int16x8", node) for each in formats)]
    return [Override(operator=operator, scheme="int8") for operator in dict.fromkeys(stuck)]


def _samples(model: Model, graph: fx.GraphModule, context: Context, split: Split) -> Samples:
    batches, labels, outputs = [], [], []
    with context.progress.task("running the float network", split.samples) as task, torch.no_grad():
        for inputs, expected in split.batches(BATCH if model.free_batch else 1):
            batches.append(static.tensors(inputs))
            labels.append(expected)
            outputs.append(first_output(graph(*batches[-1])))
            task.advance(len(expected))
    return Samples(tuple(batches), np.concatenate(labels), torch.cat(outputs), context.metric)


def _divergence(wanted: torch.Tensor, found: torch.Tensor) -> float:
    probabilities = bool((wanted >= 0).all()) and bool(((wanted.sum(1) - 1).abs() < 0.05).all())
    expected, given = (_logarithms(outputs.double(), probabilities=probabilities) for outputs in (wanted, found))
    return max(float((expected.exp() * (expected - given)).sum(1).mean()), 0.0)


def _logarithms(outputs: torch.Tensor, *, probabilities: bool) -> torch.Tensor:
    """Logarithms of the probabilities of a network that gives those, or logits."""
    return outputs.clamp(min=1e-6).log().log_softmax(1) if probabilities else outputs.log_softmax(1)


def _power(wanted: torch.Tensor, found: torch.Tensor) -> float:
    signal = float(wanted.double().square().sum())
    noise = float((found.double() - wanted.double()).square().sum())
    return noise / signal if signal > 0 else noise
