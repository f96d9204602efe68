"""What training makes small: a loss on outputs, on values inside the network, or both."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import fx, nn
from torch.nn import functional as F

Tensors = tuple[torch.Tensor, ...]
Loss = Callable[[torch.Tensor, torch.Tensor, Tensors], torch.Tensor]
"""Outputs [N, …], labels [N, …] and the inputs they belong to, to the loss, a scalar."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs [N, …] as the network gets them and their labels [N, …] (int64 classes or float32 targets).

    Where samples were mixed, `share` of each is that of `labels` and the rest that of `others`.
    """

    inputs: Tensors
    labels: torch.Tensor
    others: torch.Tensor | None = None
    share: float = 1.0

    def part(self, start: int, size: int) -> "Batch":
        """Some of its samples."""
        rows = slice(start, start + size)
        others = None if self.others is None else self.others[rows]
        return replace(self, inputs=tuple(tensor[rows] for tensor in self.inputs), labels=self.labels[rows], others=others)

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        others = None if self.others is None else self.others.to(device)
        return replace(self, inputs=tuple(tensor.to(device) for tensor in self.inputs), labels=self.labels.to(device), others=others)


@dataclass(frozen=True, eq=False)
class Objective:
    """`loss` takes outputs [N, …], the values of the nodes `taps` of the network's graph, and the batch, and gives a scalar.

    `learns` is trained beside the network and then thrown away. `fingerprint` tells objectives apart that the pass's options don't.
    """

    loss: Callable[[torch.Tensor, Tensors, Batch], torch.Tensor]
    taps: tuple[str, ...] = ()
    learns: nn.Module = field(default_factory=nn.Module)
    fingerprint: str = ""


def supervised_loss(label_smoothing: float = 0.0) -> Loss:
    """Cross entropy where labels are classes (int64), mean squared error where they are float32 targets of the outputs' shape."""

    def loss(outputs: torch.Tensor, labels: torch.Tensor, inputs: Tensors) -> torch.Tensor:  # noqa: ARG001  Loss
        if labels.is_floating_point():
            return F.mse_loss(outputs, labels.reshape(outputs.shape))
        return F.cross_entropy(outputs, labels, label_smoothing=label_smoothing)

    return loss


def label_loss(outputs: torch.Tensor, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
    """The supervised loss on a batch whose samples may be mixed."""
    supervised = supervised_loss(label_smoothing)
    first = supervised(outputs, batch.labels, batch.inputs)
    if batch.others is None:
        return first
    return batch.share * first + (1 - batch.share) * supervised(outputs, batch.others, batch.inputs)


def learn_labels(label_smoothing: float = 0.0) -> Objective:
    """The loss on the labels alone."""
    return Objective(lambda outputs, values, batch: label_loss(outputs, batch, label_smoothing))  # noqa: ARG005  Objective


def tap(graph: fx.Graph, names: tuple[str, ...]) -> None:
    """Has a graph return the network's prediction and then the values of the nodes named, in place."""
    nodes = {node.name: node for node in graph.nodes}
    output = graph.output_node()
    prediction = output.args[0]
    while isinstance(prediction, tuple | list):
        prediction = prediction[0]
    output.args = ((prediction, *(nodes[name] for name in names)),)
    graph.set_codegen(fx.graph.CodeGen())  # that of torch.export gives back no more than the outputs there were
