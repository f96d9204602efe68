"""A layer for every step."""

import torch
from torch import nn

from compress.reading.keras.layer import Layer, Made, Rule
from compress.reading.keras.layers import activation, regularization
from compress.reading.keras.values import KERAS, Value, move

LAST_AXIS = {"Dense", "EinsumDense", *activation.SIMPLE, *regularization.LAYERS}
"""Kinds that take all axes before the last as a batch by themselves."""


class EachStep(nn.Module):
    """Steps [N, T, …] through a layer as if they were samples."""

    def __init__(self, name: str, made: Made) -> None:
        super().__init__()
        self.add_module(name, made.module)
        self.name, self.takes, self.gives = name, made.takes[0], made.gives[0]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The layer."""
        made: torch.Tensor = self.get_submodule(self.name)(move(values.flatten(0, 1), KERAS, self.takes))
        moved = move(made, self.gives, KERAS)
        return moved.reshape(-1, values.shape[1], *moved.shape[1:])


def time_distributed(layer: Layer, value: Value) -> Made:
    """TimeDistributed around any layer or model with one input and one output."""
    given = layer.get("layer") or {}
    if layer.inner is None or value.rank < 3:
        raise layer.refuse("has no steps")
    if given.get("class_name") in LAST_AXIS and value.rank == 3:
        return layer.inner(given, "layer", value)
    step = Value(move(value.sample, value.layout, KERAS).flatten(0, 1))
    made = layer.inner(given, "layer", step)
    if len(made.takes) != 1 or len(made.gives) != 1:
        raise layer.refuse("goes around a layer of several inputs or outputs")
    name = str((given.get("config") or {}).get("name") or "layer").replace(".", "_")
    return Made(EachStep(name, made), (KERAS,), (KERAS,))


LAYERS: dict[str, Rule] = {"TimeDistributed": time_distributed}
