"""Static quantization, step by step: the float graph, what calibration saw in it, and the graph with integers."""

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import fx

from compress.context import Context
from compress.data.base import Inputs, Split
from compress.lowering import batchnorm
from compress.lowering.decompositions import decompose
from compress.lowering.nodes import constant, drop_unused, set_constant
from compress.lowering.rewriting import merge_equal
from compress.lowering.simplify import simplify
from compress.model import Model, refresh
from compress.progress import Task
from compress.quantization.chosen import NOTHING, Chosen
from compress.quantization.conversion import convert
from compress.quantization.observation import observe
from compress.quantization.parameters import (
    Granularity,
    WeightObserver,
    activation_parameters,
    from_range,
    weight_scales,
    with_room_for_bias,
)
from compress.quantization.plan import Plan, plan
from compress.quantization.ranges import Histogram
from compress.quantization.rounding import Rounding, balanced
from compress.quantization.threads import one_thread
from targets.errors import UserError

BATCH = 8
"""Few samples at a time stay in the processor's cache and need little memory."""
BATCH_NUMBERS = 1 << 19
"""The most numbers that go into a network at a time, so that large images come in still smaller batches."""


def unfolded_graph(model: Model) -> fx.GraphModule:
    """A copy of the network's graph, rewritten as far as that leaves its BatchNorms alone."""
    graph = model.copy_graph()
    decompose(graph, model.example)
    simplify(graph)
    merge_equal(graph)
    return graph


def fold(graph: fx.GraphModule, model: Model) -> list[str]:
    """Folds the BatchNorms of what `unfolded_graph` made of a model, in place; their names."""
    folded = batchnorm.fold(graph)
    drop_unused(graph)
    refresh(graph, model.example)
    return folded


def float_graph(model: Model) -> tuple[fx.GraphModule, list[str]]:
    """A copy of the network's graph as it is quantized: rewritten, BatchNorms folded; and the names of those."""
    graph = unfolded_graph(model)
    return graph, fold(graph, model)


@one_thread()
def calibrate(model: Model, graph: fx.GraphModule, wanted: Plan, context: Context) -> dict[str, Histogram]:
    """What the calibration samples show of the plan's values in a float graph, by the names of their nodes.

    Raises UserError where there are no samples.
    """
    calibration = calibration_part(context)
    with context.progress.task("calibrating", calibration.samples) as task:
        return observe(graph, wanted.values, batches(calibration, batch_size(model), task))


def calibration_part(context: Context, what: str = "quantize") -> Split:
    """The samples to calibrate on; UserError, in the name of `what` needs them, where there are none."""
    if context.data.calibration.samples == 0:
        raise UserError(f"{what}: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
    return context.data.calibration


def to_integers(  # noqa: PLR0913, PLR0917  what each argument decides is another thing
    graph: fx.GraphModule,
    schemes: Mapping[str, str],
    seen: Mapping[str, Histogram],
    observer: str,
    weight_observer: WeightObserver,
    granularities: Mapping[str, Granularity] | None = None,
    chosen: Chosen = NOTHING,
    rounding: Rounding = balanced,
) -> fx.GraphModule:
    """A copy of a float graph whose operators (by the names of their nodes) have these schemes, with integers in it.

    `granularities` are those of weights, by the same names; `channel` for a layer that isn't named. The observers choose what
    another engine hasn't `chosen`; weights that one has chosen are on their grid already, where no `rounding` moves them.
    """
    made = copy.deepcopy(graph)
    wanted = plan(made.graph, {node: schemes[node.name] for node in made.graph.nodes if node.name in schemes})
    activations = activation_parameters(wanted, seen, observer)
    activations |= {group: from_range(*span, group.integers) for group in activations if (span := chosen.range_of(group)) is not None}
    finely, weights = granularities or {}, {}
    for layer in wanted.weighted:
        given = chosen.weights.get(layer.layer.name)
        if given is not None:
            set_constant(made, str(layer.weight.target), given.values)
        values = constant(made, layer.weight)
        granularity = finely.get(layer.layer.name, "channel")
        found = weight_scales(values, layer.channel_axis, layer.bits, weight_observer, granularity) if given is None else given.scales
        bias = None if layer.bias is None else constant(made, layer.bias)
        weights[layer.layer] = found if bias is None else with_room_for_bias(found, bias, activations[layer.source])
    convert(made, wanted, activations, weights, rounding)
    return made


def samples(model: Model, context: Context) -> list[tuple[torch.Tensor, ...]]:
    """All calibration inputs at once, in batches, for engines that ask for them again and again.

    Raises UserError where there are no samples.
    """
    calibration = calibration_part(context)
    with context.progress.task("reading", calibration.samples) as task:
        return list(batches(calibration, batch_size(model), task))


def batch_size(model: Model) -> int:
    """How many calibration samples a network is given at a time."""
    numbers = sum(tensor[0].numel() for tensor in model.example)
    return max(1, min(BATCH, BATCH_NUMBERS // numbers)) if model.free_batch else 1


def batches(calibration: Split, size: int, task: Task) -> Iterator[tuple[torch.Tensor, ...]]:
    """The calibration inputs as tensors, `size` samples at a time."""
    for inputs, _ in calibration.batches(size):
        yield tensors(inputs)
        task.advance(len(inputs[0]))


def tensors(inputs: Inputs) -> tuple[torch.Tensor, ...]:
    """A batch's arrays as tensors."""
    return tuple(torch.from_numpy(np.ascontiguousarray(values)) for values in inputs)
