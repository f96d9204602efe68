"""Along axes: sums, means, softmax, concatenation. Axes are Keras's; images keep their order in torch."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from compress.reading.keras.layer import Made
from compress.reading.keras.layers.merging import agreed
from compress.reading.keras.operations.call import Calling, Function, as_keras, plain
from compress.reading.keras.values import FIRST, KERAS, Layout, Value
from compress.reading.modules import Operator

Tensor = torch.Tensor


def reduced(function: Callable[[Tensor, list[int], bool], Tensor]) -> Function:
    """Over axes. What is left of an image is one only where its axes stay; where all of them go, nothing has to move."""

    def make(call: Calling) -> Made:
        value, keep = call.value, bool(call.get("keepdims"))
        given = call.get("axis", 1)
        axes = list(range(1, value.rank)) if given is None else sorted(axis % value.rank for axis in call.whole(given))
        if 0 in axes or given is None:
            raise call.refuse("goes over the batch")
        layout = plain(value)
        if not keep and len(axes) < value.rank - 2:
            layout = KERAS
        placed = [Value(value.sample, layout).axis(axis) for axis in axes]
        return Made(Operator(lambda values: function(values, placed, keep)), (layout,), (layout if keep else KERAS,))

    return make


def along(function: Callable[[Tensor, int], Tensor]) -> Function:
    """Along one axis; the shape stays."""

    def make(call: Calling) -> Made:
        value = call.value
        layout = plain(value)
        (axis,) = call.whole(call.get("axis", 1, -1))
        placed = Value(value.sample, layout).axis(axis)
        return Made(Operator(lambda values: function(values, placed)), (layout,), (layout,))

    return make


def normalize(call: Calling) -> Made:
    """To length 1 along axes."""
    value = call.value
    if call.get("order", default=2) != 2:
        raise call.refuse("takes another length than the square root of the sum of squares")
    layout, epsilon = plain(value), float(call.get("epsilon", default=1e-12))
    axes = [Value(value.sample, layout).axis(axis) for axis in call.whole(call.get("axis", 1, -1))]

    def compute(values: Tensor) -> Tensor:
        return values * torch.rsqrt(values.square().sum(axes, True).clamp(min=epsilon))

    return Made(Operator(compute), (layout,), (layout,))


def concatenate(call: Calling) -> Made:
    """Tensors behind each other along an axis."""
    if any(not isinstance(each, Value) for each in call.get("xs", 0, [])):
        raise call.refuse("joins arrays of the file")
    values = call.values
    layout: Layout = FIRST if agreed(values) == FIRST else KERAS
    (axis,) = call.whole(call.get("axis", 1, -1))
    placed = Value(values[0].sample, layout).axis(axis)
    return Made(Operator(lambda *given: torch.cat(given, placed)), (layout,) * len(values), (layout,))


def stack(call: Calling) -> Made:
    """Tensors along a new axis."""
    (axis,) = call.whole(call.get("axis", 1, 0))
    return as_keras(call, lambda *given: torch.stack(given, axis))


def split(call: Calling) -> Made:
    """Parts of an axis: a number of the same length, or the places where they end."""
    value = call.value
    layout = plain(value)
    (axis,) = call.whole(call.get("axis", 2, -1))
    length, given = value.shape[axis], call.get("indices_or_sections", 1)
    if isinstance(given, int):
        lengths = [length // given] * given
    else:
        ends = [0, *call.whole(given), length]
        lengths = [end - start for start, end in pairwise(ends)]
    if axis % value.rank == 0 or sum(lengths) != length or min(lengths) < 0:
        raise call.refuse(f"can't divide axis {axis} of {list(value.shape[1:])} so")
    placed = Value(value.sample, layout).axis(axis)
    return Made(Operator(lambda values: list(torch.split(values, lengths, placed))), (layout,), (layout,) * len(lengths))


REDUCED: dict[str, Callable[[Tensor, list[int], bool], Any]] = {
    "Sum": torch.sum,
    "Mean": torch.mean,
    "Max": torch.amax,
    "Min": torch.amin,
    "Amax": torch.amax,
    "Amin": torch.amin,
    "Var": lambda values, axes, keep: torch.var(values, axes, correction=0, keepdim=keep),
    "Std": lambda values, axes, keep: torch.std(values, axes, correction=0, keepdim=keep),
    "Logsumexp": torch.logsumexp,
}
OPERATIONS: dict[str, Function] = {
    **{name: reduced(function) for name, function in REDUCED.items()},
    "Softmax": along(torch.softmax),
    "LogSoftmax": along(torch.log_softmax),
    "Cumsum": along(torch.cumsum),
    "Flip": along(lambda values, axis: values.flip(axis)),
    "Normalize": normalize,
    "Concatenate": concatenate,
    "Stack": stack,
    "Split": split,
}
