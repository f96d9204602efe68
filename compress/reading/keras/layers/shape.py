"""Layers that move, repeat or leave out numbers. They know where an image's channels lie, so that few axes have to move."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from compress.reading.keras.layer import Layer, Made, Rule, alike, pairs
from compress.reading.keras.values import FIRST, KERAS, Flat, Layout, Value
from compress.reading.modules import Operator

Tensor = torch.Tensor


def flatten(layer: Layer, value: Value) -> Made:
    """Flatten, in the order of channels last. An image stays in its own; what comes next knows (`Flat`)."""
    if value.rank == 2:
        return alike(Operator(lambda values: values), value)
    if value.rank == 1:
        return Made(Operator(lambda values: values.unsqueeze(1)), (KERAS,), (KERAS,))
    laid = Value(value.sample, FIRST) if layer.channels_first else value
    return Made(Operator(lambda values: values.flatten(1)), (value.layout,), (_flattened(laid),))


def reshape(layer: Layer, value: Value) -> Made:
    """Reshape. Where the channels stay or are alone, no axis moves."""
    shape = resolved(layer, value, layer.get("target_shape"))
    takes, gives = reshaped(value, shape)
    target = (shape[-1], *shape[:-1]) if gives == FIRST else shape
    return Made(Operator(lambda values: values.reshape(-1, *target)), (takes,), (gives,))


def reshaped(value: Value, shape: Sequence[int]) -> tuple[Layout, Layout]:
    """The layouts before and behind a reshape of samples to `shape` (Keras's, without the batch) that move the fewest axes."""
    channels = shape[-1] if shape else 1
    image = len(shape) > 2
    if value.ordered:
        alone = channels == 1 or math.prod(shape[:-1]) == 1
        return value.layout, FIRST if image and alone else KERAS
    if isinstance(value.layout, Flat):
        if channels == value.layout.image[0] and len(shape) > 1:
            return value.layout, FIRST
        return (value.layout, value.layout) if len(shape) == 1 else (KERAS, KERAS)
    if channels == value.shape[-1] and len(shape) > 1:
        return FIRST, FIRST
    return (FIRST, _flattened(value)) if len(shape) == 1 else (KERAS, KERAS)


def resolved(layer: Layer, value: Value, given: Any) -> tuple[int, ...]:
    """A sample's new shape, -1 worked out."""
    count = math.prod(value.shape[1:])
    if not isinstance(given, list | tuple) or not all(isinstance(size, int) for size in given):
        raise layer.refuse(f"has no shape of whole numbers: {given}")
    known = math.prod(size for size in given if size != -1)
    shape = tuple(count // max(known, 1) if size == -1 else size for size in given)
    if math.prod(shape) != count or min(shape, default=1) < 0:
        raise layer.refuse(f"can't make {list(given)} of {list(value.shape[1:])}")
    return shape


def permute(layer: Layer, value: Value) -> Made:
    """Permute. Where its result is an image whose axes lie as they lay, none moves."""
    order = [0, *pairs(layer.get("dims"), value.rank - 1)]
    if sorted(order) != list(range(value.rank)):
        raise layer.refuse(f"its dims {order[1:]} are no order of {value.rank - 1} axes")
    return permuted(value, order)


def permuted(value: Value, order: Sequence[int]) -> Made:
    """Keras's axes in a new order, the batch first."""
    places = [value.axis(axis) for axis in order]
    layouts: list[Layout] = ["first", "keras"] if value.rank > 2 else ["keras"]
    ways = {layout: _laid(places, layout) for layout in layouts}
    still = [layout for layout, way in ways.items() if way == sorted(way)]
    gives: Layout = still[0] if still else KERAS
    if still:
        return Made(Operator(lambda values: values), (value.layout,), (gives,))
    way = ways[gives]
    return Made(Operator(lambda values: values.permute(way)), (value.layout,), (gives,))


def repeat_vector(layer: Layer, _: Value) -> Made:
    """RepeatVector: the same vector at each of n steps."""
    count = int(layer.get("n", 1))
    return Made(Operator(lambda values: values.unsqueeze(1).expand(-1, count, -1)), (KERAS,), (KERAS,))


def zero_padding(axes: int) -> Rule:
    """ZeroPadding1D, 2D and 3D."""

    def build(layer: Layer, _: Value) -> Made:
        amounts = [amount for pair in reversed(_edges(layer.get("padding", 1), axes)) for amount in pair]
        return Made(Operator(lambda values: F.pad(values, amounts)), (layer.spatial,), (layer.spatial,))

    return build


def cropping(axes: int) -> Rule:
    """Cropping1D, 2D and 3D."""

    def build(layer: Layer, value: Value) -> Made:
        sizes = value.shape[2:] if layer.channels_first else value.shape[1:-1]
        edges = _edges(layer.get("cropping", 1), axes)
        parts = [(before, size - before - after) for size, (before, after) in zip(sizes, edges, strict=True)]
        if min(length for _, length in parts) <= 0:
            raise layer.refuse(f"leaves nothing of {list(sizes)}")

        def compute(values: Tensor) -> Tensor:
            for axis, (start, length) in enumerate(parts, start=2):
                values = values if values.shape[axis] == length else values[(slice(None),) * axis + (slice(start, start + length),)]
            return values

        return Made(Operator(compute), (layer.spatial,), (layer.spatial,))

    return build


def upsampling(axes: int) -> Rule:
    """UpSampling1D, 2D (nearest or bilinear) and 3D."""

    def build(layer: Layer, value: Value) -> Made:
        mode = str(layer.get("interpolation", "nearest"))
        factors = pairs(layer.get("size", 2), axes)
        sizes = value.shape[2:] if layer.channels_first else value.shape[1:-1]
        return resized(layer, [size * factor for size, factor in zip(sizes, factors, strict=True)], mode)

    return build


def resizing(layer: Layer, _: Value) -> Made:
    """Resizing, nearest or bilinear."""
    if layer.get("crop_to_aspect_ratio") or layer.get("pad_to_aspect_ratio") or layer.get("antialias"):
        raise layer.refuse("crops, pads or smooths; resize images before the network instead")
    return resized(layer, [int(layer.get("height")), int(layer.get("width"))], str(layer.get("interpolation", "bilinear")))


def resized(layer: Layer, sizes: list[int], mode: str) -> Made:
    """An image [N, C, …] of another size."""
    if mode not in ("nearest", "bilinear"):
        raise layer.refuse(f"interpolation '{mode}' can't be read; nearest and bilinear can")
    options: dict[str, Any] = {"mode": "nearest"} if mode == "nearest" else {"mode": "bilinear", "align_corners": False}
    return Made(Operator(lambda values: F.interpolate(values, sizes, **options)), (layer.spatial,), (layer.spatial,))


def _edges(given: Any, axes: int) -> list[tuple[int, int]]:
    each = [given] * axes if isinstance(given, int) else [given] if axes == 1 and isinstance(given[0], int) else given
    return [pairs(pair, 2) if not isinstance(pair, int) else (pair, pair) for pair in each]  # type: ignore[misc]


def _flattened(value: Value) -> Layout:
    return KERAS if value.ordered else Flat(tuple(value.sample.shape[1:]))


def _laid(places: Sequence[int], layout: Layout) -> list[int]:
    return [places[0], places[-1], *places[1:-1]] if layout == FIRST else list(places)


LAYERS: dict[str, Rule] = {
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": permute,
    "RepeatVector": repeat_vector,
    "Resizing": resizing,
    **{f"ZeroPadding{axes}D": zero_padding(axes) for axes in (1, 2, 3)},
    **{f"Cropping{axes}D": cropping(axes) for axes in (1, 2, 3)},
    **{f"UpSampling{axes}D": upsampling(axes) for axes in (1, 2, 3)},
}
