"""Layers that make one tensor of several."""

from collections.abc import Callable
from functools import reduce

import torch

from compress.reading.keras.layer import Layer, Made, Rule
from compress.reading.keras.values import FIRST, KERAS, Layout, Value
from compress.reading.modules import Operator

Tensor = torch.Tensor


def agreed(values: tuple[Value, ...]) -> Layout:
    """The layout in which tensors of one rank meet: channels first where one has them so, that of vectors where all have the same."""
    layouts = {value.layout for value in values}
    if len(layouts) == 1 or any(value.rank < 3 for value in values):
        return values[0].layout if len(layouts) == 1 else KERAS
    same_rank = len({value.rank for value in values}) == 1
    return FIRST if same_rank and FIRST in layouts else KERAS


def pairwise(function: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    """One after the other. Tensors of fewer axes get theirs behind the batch, as Keras does it."""

    def build(_: Layer, *values: Value) -> Made:
        layout = agreed(values)
        rank = max(value.rank for value in values)

        def compute(*given: Tensor) -> Tensor:
            return reduce(function, (each if each.dim() == rank else _widened(each, rank) for each in given))

        return Made(Operator(compute), (layout,) * len(values), (layout,))

    return build


def average(layer: Layer, *values: Value) -> Made:
    """Average."""
    made = pairwise(torch.add)(layer, *values)
    return Made(Operator(lambda *given: made.module(*given) / len(values)), made.takes, made.gives)


def subtract(layer: Layer, *values: Value) -> Made:
    """Subtract: the first less the second."""
    if len(values) != 2:
        raise layer.refuse(f"takes two tensors, not {len(values)}")
    return pairwise(torch.sub)(layer, *values)


def scaled_sum(layer: Layer, *values: Value) -> Made:
    """CustomScaleLayer of keras.applications' InceptionResNetV2: the first, and the second times a factor."""
    scale = float(layer.get("scale", 1.0))
    return pairwise(lambda shortcut, residual: shortcut + scale * residual)(layer, *values)


def concatenate(layer: Layer, *values: Value) -> Made:
    """Concatenate along one axis."""
    layout: Layout = FIRST if agreed(values) == FIRST else KERAS
    axis = Value(values[0].sample, layout).axis(int(layer.get("axis", -1)))
    return Made(Operator(lambda *given: torch.cat(given, axis)), (layout,) * len(values), (layout,))


def dot(layer: Layer, *_: Value) -> Made:
    """Dot: products summed over one axis of each, per sample."""
    given = layer.get("axes")
    first, second = given if isinstance(given, list) else (given, given)
    normalize = bool(layer.get("normalize"))

    def compute(a: Tensor, b: Tensor) -> Tensor:
        x, y = a.movedim(first, -1), b.movedim(second, -1)
        if normalize:
            x, y = (each * torch.rsqrt(each.square().sum(-1, True).clamp(min=1e-12)) for each in (x, y))
        made = torch.einsum("nik,njk->nij", x.reshape(x.shape[0], -1, x.shape[-1]), y.reshape(y.shape[0], -1, y.shape[-1]))
        return made.reshape(-1, *(x.shape[1:-1] + y.shape[1:-1] or (1,)))

    return Made(Operator(compute), (KERAS, KERAS), (KERAS,))


def _widened(values: Tensor, rank: int) -> Tensor:
    return values.reshape(values.shape[0], *[1] * (rank - values.dim()), *values.shape[1:])


LAYERS: dict[str, Rule] = {
    "Add": pairwise(torch.add),
    "Subtract": subtract,
    "Multiply": pairwise(torch.mul),
    "Average": average,
    "Maximum": pairwise(torch.maximum),
    "Minimum": pairwise(torch.minimum),
    "Concatenate": concatenate,
    "CustomScaleLayer": scaled_sum,
    "Dot": dot,
}
