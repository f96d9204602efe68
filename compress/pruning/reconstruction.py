"""Importance by what can't be made up for: the least-squares error that a channel's removal leaves in the layers that use it.

The greedy elimination of optimal brain surgery (Hassibi and Stork 1993), over a channel's weights at once and over all its users.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

from compress.context import Context
from compress.model import Model
from compress.pruning.analysis import Analysis, operator
from compress.pruning.choice import Group
from compress.pruning.patches import SUPPORTED, Geometry, calibration_batches, thinned
from compress.pruning.surgery import weight_of

RIDGE = 1e-2
"""Added to the inputs' covariance, relative to its mean diagonal: channels count as replaceable only so far."""


def reconstruction(model: Model, analysis: Analysis, found: Iterable[Group], context: Context) -> dict[int, float]:
    """Removes each group's channels one by one, the least missed first; the score of each is the greatest error up to its removal.

    An error is relative to what the layer's output varies, summed over the layers that use the channel. Channels that no convolution
    or linear layer uses have none.
    """
    groups, covariances = list(found), _covariances(model, analysis, context)
    users = {weight: analysis.classes.find(analysis.axes[weight][1]) for weight in covariances}
    scores: dict[int, float] = {}
    with torch.no_grad(), context.progress.task("importance of channels (reconstruction)", len(groups)) as task:
        for group in groups:
            affected = []
            for weight, labels in users.items():
                channels = {place: (labels == each).nonzero() for place, each in enumerate(group.classes) if bool((labels == each).any())}
                if channels:
                    affected.append(_User(weight_of(model.graph, weight).detach(), covariances[weight], channels))
            scores |= _eliminate(group.classes, affected)
            task.advance()
    return scores


def _eliminate(classes: tuple[int, ...], users: list["_User"]) -> dict[int, float]:
    left, scores, error = list(range(len(classes))), {}, 0.0
    while left:
        errors = sum((user.errors(len(classes)) for user in users), torch.zeros(len(classes), dtype=torch.float64))
        first = min(left, key=errors.tolist().__getitem__)
        error = max(error, float(errors[first])) + 1e-12  # keeps the order of equal ones
        scores[classes[first]] = error
        left.remove(first)
        for user in users:
            user.remove(first)
    return scores


class _User:
    """A layer that uses channels of a group: its weights [K, outputs] and the inverse covariance [K, K] of what they multiply."""

    def __init__(self, weight: torch.Tensor, covariance: torch.Tensor, channels: dict[int, torch.Tensor]) -> None:
        """`channels` are the input channels [count, 1] of each class, by its place in the group."""
        width = weight[0, 0].numel()
        held = RIDGE * covariance.diagonal().mean() + 1e-12
        self.rows = {place: (each * width + torch.arange(width)).flatten() for place, each in channels.items()}
        self.weights = weight.flatten(1).T.double()
        self.inverse = torch.linalg.inv(covariance + held * torch.eye(len(covariance), dtype=torch.float64))
        self.energy = float((self.weights * (covariance @ self.weights)).sum()) + 1e-12

    def errors(self, count: int) -> torch.Tensor:
        """What the removal of each class [count] would cost, the others making up for it; 0 where it isn't used (any more)."""
        found = torch.zeros(count, dtype=torch.float64)
        if self.rows:
            rows = torch.stack(list(self.rows.values()))
            weights, inverse = self.weights[rows], self.inverse[rows[:, :, None], rows[:, None, :]]
            found[list(self.rows)] = (weights * torch.linalg.solve(inverse, weights)).sum((1, 2)) / self.energy
        return found

    def remove(self, place: int) -> None:
        """Takes the class at this place out, with the others' weights changed to make up for it."""
        rows = self.rows.pop(place, None)
        if rows is not None:
            columns = self.inverse[:, rows]
            self.weights = self.weights - columns @ torch.linalg.solve(columns[rows], self.weights[rows])
            self.inverse = self.inverse - columns @ torch.linalg.solve(columns[rows], columns.T)


def _covariances(model: Model, analysis: Analysis, context: Context) -> dict[str, torch.Tensor]:
    """The covariance [K, K] of the patches that each ungrouped convolution or linear layer multiplies, by the weight's name."""
    runner = _Moments(model.graph, analysis)
    with torch.no_grad():
        for batch in calibration_batches(context.data.calibration, model.free_batch, analysis.largest):
            runner.run(*batch)
    found = {}
    for weight, (count, total, squares) in runner.moments.items():
        mean = total / count
        found[weight] = squares / count - mean[:, None] * mean[None]
    return found


class _Moments(fx.Interpreter):
    """Gathers the number, sum and squares of the patches of each layer."""

    def __init__(self, graph: fx.GraphModule, analysis: Analysis) -> None:
        super().__init__(graph)
        self.analysis = analysis
        self.moments: dict[str, tuple[int, Any, Any]] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "call_function" and operator(n) in SUPPORTED:
            value, weight = (self.env[operand] for operand in n.all_input_nodes[:2])
            name = str(n.all_input_nodes[1].target)
            geometry = Geometry.of(n, weight)
            if geometry.groups == 1 and 1 in self.analysis.axes.get(name, {}):
                rows = thinned(geometry.rows(value))[0]
                count, total, squares = self.moments.get(name, (0, 0.0, 0.0))
                self.moments[name] = (count + len(rows), total + rows.sum(0).double(), squares + (rows.T @ rows).double())
        return super().run_node(n)
