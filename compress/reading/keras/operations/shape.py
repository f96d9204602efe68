"""New shapes, orders and parts."""

from typing import Any

import torch
from torch.nn import functional as F

from compress.reading.keras.layer import Layer, Made
from compress.reading.keras.layers import shape
from compress.reading.keras.operations.call import Calling, Function, as_keras, plain
from compress.reading.keras.values import FIRST, KERAS, Value
from compress.reading.modules import Operator


def reshape(call: Calling) -> Made:
    """The batch must stay the first axis."""
    given = call.whole(call.get("newshape", 1))
    value = call.value
    if given[0] not in (-1, 1) and given[0] != value.shape[0]:
        raise call.refuse(f"to {given} mixes the batch with other axes")
    return shape.reshape(Layer(call.layer.name, call.kind, {"target_shape": given[1:]}, ()), value)


def transpose(call: Calling) -> Made:
    """Another order of axes, the batch first."""
    value = call.value
    given = call.get("axes", 1)
    return _ordered(call, list(range(value.rank))[::-1] if given is None else [axis % value.rank for axis in call.whole(given)])


def swapaxes(call: Calling) -> Made:
    """Two axes change places."""
    rank = call.value.rank
    order = list(range(rank))
    (one,), (other,) = call.whole(call.get("axis1", 1)), call.whole(call.get("axis2", 2))
    order[one], order[other] = order[other], order[one]
    return _ordered(call, order)


def moveaxis(call: Calling) -> Made:
    """Axes at other places."""
    rank = call.value.rank
    sources, ends = (call.whole(call.get(name, position)) for position, name in ((1, "source"), (2, "destination")))
    moved = {end % rank: source % rank for source, end in zip(sources, ends, strict=True)}
    rest = iter(axis for axis in range(rank) if axis not in moved.values())
    return _ordered(call, [moved[place] if place in moved else next(rest) for place in range(rank)])


def expand_dims(call: Calling) -> Made:
    """New axes of length 1."""
    value = call.value
    axes = call.whole(call.get("axis", 1))
    rank = value.rank + len(axes)
    new = {axis % rank for axis in axes}
    if 0 in new:
        raise call.refuse("puts an axis before the batch")
    sizes = iter(value.shape)
    return _reshaped(call, [1 if axis in new else next(sizes) for axis in range(rank)])


def squeeze(call: Calling) -> Made:
    """Without axes of length 1."""
    value = call.value
    given = call.get("axis", 1)
    axes = [axis for axis in range(1, value.rank) if value.shape[axis] == 1] if given is None else call.whole(given)
    gone = {axis % value.rank for axis in axes}
    if 0 in gone or any(value.shape[axis] != 1 for axis in gone):
        raise call.refuse(f"can't leave out axes {sorted(gone)} of {list(value.shape)}")
    return _reshaped(call, [size for axis, size in enumerate(value.shape) if axis not in gone])


def part(call: Calling) -> Made:
    """Slices, single places and new axes, as Python has them."""
    value = call.args[0]
    given = call.get("key", 1)
    given = given if isinstance(given, list) else [given]
    if any(not isinstance(each, slice | int) and each not in (None, ...) for each in given):
        raise call.refuse("takes places that the network computes")
    missing = value.rank - sum(isinstance(each, slice | int) for each in given)
    at = given.index(...) if ... in given else len(given)
    index: list[Any] = [*given[:at], *[slice(None)] * missing, *given[at + 1 :]]
    if index[0] != slice(None) and not (isinstance(index[0], slice) and index[0].start in (None, 0) and index[0].stop is None):
        raise call.refuse("takes part of the batch")
    if any(isinstance(each, slice) and (each.step or 1) < 0 for each in index):
        raise call.refuse("goes backwards; put a Flip in its place")
    layout = plain(value)
    if layout == FIRST and all(isinstance(each, slice) for each in index):
        placed = (index[0], index[-1], *index[1:-1])
        return Made(Operator(lambda values: values[placed]), (FIRST,), (FIRST,))
    return Made(Operator(lambda values: values[tuple(index)]), (KERAS,), (KERAS,))


def pad(call: Calling) -> Made:
    """Zeros, another number, or mirrored numbers around."""
    value = call.value
    pairs = [tuple(call.whole(pair)) for pair in call.get("pad_width", 1)]
    if len(pairs) != value.rank or pairs[0] != (0, 0):
        raise call.refuse(f"can't pad {value.rank} axes by {pairs}")
    mode, fill = str(call.get("mode", 2, "constant")).lower(), float(call.get("constant_values", 3, 0.0))
    layout = plain(value)
    if layout == FIRST and value.rank > 2:
        pairs = [pairs[0], pairs[-1], *pairs[1:-1]]
    amounts = [amount for pair in reversed(pairs[1:]) for amount in pair]
    while len(amounts) > 2 and amounts[-2:] == [0, 0]:
        amounts = amounts[:-2]
    if mode == "constant":
        return Made(Operator(lambda values: F.pad(values, amounts, value=fill)), (layout,), (layout,))
    if mode != "reflect":
        raise call.refuse(f"mode '{mode}' can't be read")
    return Made(Operator(lambda values: F.pad(values, amounts, mode="reflect")), (layout,), (layout,))


def repeat(call: Calling) -> Made:
    """Each number several times along an axis."""
    value = call.value
    (count,), (axis,) = call.whole(call.get("repeats", 1)), call.whole(call.get("axis", 2))
    layout = plain(value)
    placed = Value(value.sample, layout).axis(axis)
    return Made(Operator(lambda values: torch.repeat_interleave(values, count, placed)), (layout,), (layout,))


def tile(call: Calling) -> Made:
    """The whole tensor several times along axes."""
    counts = call.whole(call.get("repeats", 1))
    return as_keras(call, lambda values: values.repeat(*[1] * (values.dim() - len(counts)), *counts))


def resize(call: Calling) -> Made:
    """An image of another size."""
    height, width = call.whole(call.get("size", 1))
    if call.get("antialias") or call.get("crop_to_aspect_ratio") or call.get("pad_to_aspect_ratio") or call.get("preserve_aspect_ratio"):
        raise call.refuse("crops, pads or smooths")
    config = {"data_format": call.get("data_format")}
    layer = Layer(call.layer.name, call.kind, config, ())
    return shape.resized(layer, [height, width], str(call.get("interpolation", default=call.get("method", default="bilinear"))))


def _reshaped(call: Calling, sizes: list[int]) -> Made:
    return shape.reshape(Layer(call.layer.name, call.kind, {"target_shape": sizes[1:]}, ()), call.value)


def _ordered(call: Calling, order: list[int]) -> Made:
    if sorted(order) != list(range(call.value.rank)) or order[0]:
        raise call.refuse(f"can't put {call.value.rank} axes in the order {order}; the batch must stay the first")
    return shape.permuted(call.value, order)


OPERATIONS: dict[str, Function] = {
    "Reshape": reshape,
    "Transpose": transpose,
    "Swapaxes": swapaxes,
    "Moveaxis": moveaxis,
    "ExpandDims": expand_dims,
    "Squeeze": squeeze,
    "GetItem": part,
    "Pad": pad,
    "Repeat": repeat,
    "Tile": tile,
    "Resize": resize,
}
