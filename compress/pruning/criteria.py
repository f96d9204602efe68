"""How important a class of channels is: by the weights that make it, or by what the loss says of them."""

from collections.abc import Iterable
from typing import Literal

import torch

from compress.context import Context
from compress.model import Model, first_output
from compress.pruning.analysis import Analysis
from compress.pruning.choice import Group
from compress.pruning.reconstruction import reconstruction
from compress.pruning.surgery import weight_of
from compress.training import supervised_loss

Criterion = Literal["l1", "l2", "bn_scale", "taylor", "fisher", "reconstruction"]
OF_THE_LOSS = frozenset({"taylor", "fisher", "reconstruction"})
"""Criteria that tell what a removal costs, rather than how large something is."""

SINGLE_SAMPLES = 256
"""At most so many samples are gone through one by one."""


def importance(criterion: Criterion, model: Model, analysis: Analysis, found: Iterable[Group], context: Context) -> dict[int, float]:
    """A score for each class; of magnitudes they are relative to the group's mean, so that groups can be compared.

    `l1`, `l2`: norms of the filters that make the channel (Li et al. 2017); `bn_scale`: of its BatchNorm scale (Liu et al. 2017), or
    `l1` where there is none; `taylor`: the squared first-order change of the loss on the calibration data (Molchanov et al. 2019);
    `fisher`: the second-order change, without cross terms, of the loss, its curvature taken from the gradients of single samples (Theis
    et al. 2018); `reconstruction`: the error that remains in the layers that use the channel after their other weights made up for it.
    """
    if criterion == "reconstruction":
        return reconstruction(model, analysis, found, context)
    if criterion in ("taylor", "fisher"):
        return _of_gradients(model, analysis, context, fisher=criterion == "fisher")
    makers = [(layer.weight, layer.output_axis) for layer in analysis.layers]
    order = 2 if criterion == "l2" else 1
    scores = _gathered(analysis, {place: _norms(weight_of(model.graph, place[0]), place[1], order) for place in makers})
    if criterion == "bn_scale":
        scales = {(name, 0): weight_of(model.graph, name).detach().abs() for name in analysis.scales}
        scores |= _gathered(analysis, scales)
    return _relative(scores, found)


def without_scales(analysis: Analysis, found: Iterable[Group]) -> list[str]:
    """The groups, by their names, whose channels go through no BatchNorm with a scale."""
    scaled = {
        each
        for name in analysis.scales
        for vector in analysis.axes.get(name, {}).values()
        for each in analysis.classes.find(vector).tolist()
    }
    return list(dict.fromkeys(group.name for group in found if scaled.isdisjoint(group.classes)))


def _norms(weight: torch.Tensor, axis: int, order: int) -> torch.Tensor:
    """The norm of each slice across an axis, over the mean of the weight's."""
    norms: torch.Tensor = torch.linalg.vector_norm(weight.detach().movedim(axis, 0).flatten(1), order, dim=1)
    return norms / norms.mean().clamp(min=1e-12)


def _gathered(analysis: Analysis, values: dict[tuple[str, int], torch.Tensor]) -> dict[int, float]:
    """The sum over a class of the numbers that its indices of weights' axes have."""
    scores: dict[int, float] = {}
    for (name, axis), numbers in values.items():
        vector = analysis.axes.get(name, {}).get(axis)
        if vector is not None:
            for each, number in zip(analysis.classes.find(vector).tolist(), numbers.tolist(), strict=True):
                scores[each] = scores.get(each, 0.0) + number
    return scores


def _relative(scores: dict[int, float], found: Iterable[Group]) -> dict[int, float]:
    relative: dict[int, float] = {}
    for group in found:
        values = [scores.get(each, 0.0) for each in group.classes]
        mean = max(sum(values) / len(values), 1e-12)
        relative |= {each: value / mean for each, value in zip(group.classes, values, strict=True)}
    return relative


def _of_gradients(model: Model, analysis: Analysis, context: Context, *, fisher: bool) -> dict[int, float]:
    """Sums over batches of (sum over the class's weights of weight * gradient) squared; every class that weights have gets a score.

    With `fisher` over single samples, and of the squares of weight * gradient.
    """
    graph = model.copy_graph()
    loss_of = supervised_loss()
    scores: dict[int, float] = {}
    split = context.data.calibration.first(SINGLE_SAMPLES) if fisher else context.data.calibration
    with context.progress.task(f"importance of channels ({'fisher' if fisher else 'taylor'})", split.samples) as task:
        for inputs, labels in split.batches(32 if model.free_batch and not fisher else 1):
            graph.zero_grad()
            tensors = tuple(torch.from_numpy(array) for array in inputs)
            torch.autograd.backward(loss_of(first_output(graph(*tensors)), torch.from_numpy(labels), tensors))
            for each, change in _gathered(analysis, _changes(graph, analysis, 2 if fisher else 1)).items():
                scores[each] = scores.get(each, 0.0) + (change if fisher else change**2)
            task.advance(len(labels))
    return scores


def _changes(graph: torch.fx.GraphModule, analysis: Analysis, power: int) -> dict[tuple[str, int], torch.Tensor]:
    """For each axis of a weight in which channels are made, sums of (weight * gradient) ** power over its slices."""
    changes: dict[tuple[str, int], torch.Tensor] = {}
    inputs = {(layer.weight, layer.input_axis) for layer in analysis.layers if layer.input_axis != layer.output_axis}
    for name, axes in analysis.axes.items():
        weight = weight_of(graph, name)
        if isinstance(weight, torch.nn.Parameter) and weight.grad is not None:
            product = (weight.detach() * weight.grad) ** power
            made = [axis for axis in axes if (name, axis) not in inputs]
            changes |= {(name, axis): product.movedim(axis, 0).reshape(product.shape[axis], -1).sum(1) for axis in made}
    return changes
