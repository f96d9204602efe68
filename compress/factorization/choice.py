"""A factorization for each layer: by the rank that is given, by energy, or for a share of the network's MACs."""

from collections.abc import Mapping, Sequence

from compress.factorization.methods import Candidate, Method, Task, candidates, most_filters, of_ranks
from compress.quantization import allocation

Chosen = dict[str, Candidate]
"""By layer; those that stay whole are missing."""

WHOLE = "whole"


def of_layer(task: Task, methods: Sequence[Method]) -> list[Candidate]:
    """All candidates of a layer. Where its kernel has one position, that of the singular values is the only method there is."""
    wanted: Sequence[Method] = methods if task.layer.kernel > 1 else ("svd",)
    return [each for method in wanted for each in candidates(task, method)]


def given(task: Task, methods: Sequence[Method], ranks: tuple[int, ...]) -> Candidate:
    """The candidate of given ranks, each cut to what the layer has; Tucker-2 where several methods are allowed for a k x k kernel."""
    layer = task.layer
    method: Method = methods[0] if len(methods) == 1 else "tucker"
    if layer.kernel == 1:
        method = "svd"
    limits = {"svd": (min(layer.weights.shape[1:]),), "tucker": (layer.inputs, layer.outputs), "separable": (most_filters(layer),)}[method]
    several = ranks if len(ranks) == len(limits) else ranks[:1] * len(limits)
    cut = tuple(min(rank, limit) for rank, limit in zip(several, limits, strict=True))
    if method == "tucker":
        cut = (cut[0], min(cut[1], cut[0] * layer.kernel))
    return of_ranks(task, method, cut)


def by_energy(tasks: Mapping[str, Task], possible: Mapping[str, Sequence[Candidate]], energy: float) -> Chosen:
    """The cheapest candidate of each layer that keeps this share of its energy."""
    chosen = {}
    for name, several in possible.items():
        enough = [each for each in several if each.error <= (1 - energy) * tasks[name].energy]
        if enough:
            chosen[name] = min(enough, key=lambda each: (each.macs, each.error))
    return chosen


def by_macs(tasks: Mapping[str, Task], possible: Mapping[str, Sequence[Candidate]], limit: int) -> Chosen:
    """Candidates for at most `limit` MACs of these layers together, of the least error; the cheapest of all where none are few enough."""
    costs = {
        name: {WHOLE: float(tasks[name].layer.macs)} | _numbered([each.macs for each in several]) for name, several in possible.items()
    }
    losses = {name: {WHOLE: 0.0} | _numbered([each.error for each in several]) for name, several in possible.items()}
    taken = allocation.best(losses, costs)
    left = sum(round(costs[name][label]) for name, label in taken.items())
    for step in allocation.steps(losses, costs):
        if left <= limit:
            break
        left -= round(costs[step.layer][step.before] - costs[step.layer][step.after])
        taken[step.layer] = step.after
    return {name: possible[name][int(label)] for name, label in taken.items() if label != WHOLE}


def _numbered(values: Sequence[float]) -> dict[str, float]:
    return {str(number): float(value) for number, value in enumerate(values)}
