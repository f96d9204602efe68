"""Reading values inside a network while it runs."""

from collections.abc import Callable

import torch

from compress.model import Model
from compress.training.devices import on_device
from compress.training.objective import tap

Watched = Callable[..., tuple[torch.Tensor, dict[str, torch.Tensor]]]


def tapped(model: Model, names: tuple[str, ...], device: torch.device | None = None) -> Watched:
    """A function of inputs [N, …] to the network's outputs and the values of the nodes named, in inference mode, without gradients.

    A network of fixed batch size takes the samples one by one.
    """
    graph = model.copy_graph()
    tap(graph.graph, names)
    graph.recompile()
    on_device(graph, device or torch.device("cpu"))

    def run(*inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        with torch.no_grad():
            size = len(inputs[0]) if model.free_batch else 1
            rows = [graph(*(tensor[start : start + size] for tensor in inputs)) for start in range(0, len(inputs[0]), size)]
            outputs, *values = (torch.cat(column) for column in zip(*rows, strict=True))
            return outputs, dict(zip(names, values, strict=True))

    return run
