"""Reading values inside a network while it runs."""

import copy
from collections.abc import Callable

import torch

from compress.model import Model
from compress.training.devices import on_device
from compress.training.layout import channels_last
from compress.training.objective import tap

Watched = Callable[..., tuple[torch.Tensor, dict[str, torch.Tensor]]]


def tapped(model: Model, names: tuple[str, ...], device: torch.device | None = None) -> Watched:
    """A function of inputs [N, …] to the network's outputs and the values of the nodes named, in inference mode, without gradients.

    A network of fixed batch size takes the samples one by one. `device` is where most inputs are; one elsewhere gets a copy there.
    """
    graph = model.copy_graph()
    tap(graph.graph, names)
    channels_last(graph).recompile()
    first = device or torch.device("cpu")
    graphs = {first: on_device(graph, first)}

    def run(*inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        with torch.no_grad():
            size, where = len(inputs[0]) if model.free_batch else 1, inputs[0].device
            if where not in graphs:
                graphs[where] = on_device(copy.deepcopy(graph), where)
            rows = [graphs[where](*(tensor[start : start + size] for tensor in inputs)) for start in range(0, len(inputs[0]), size)]
            outputs, *values = (torch.cat(column) for column in zip(*rows, strict=True))
            return outputs, dict(zip(names, values, strict=True))

    return run
