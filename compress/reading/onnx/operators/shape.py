"""What moves numbers and changes none: shapes, axes, slices, padding."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from compress.reading.onnx.values import Call, Sizes, Value, tensor


def shape(call: Call, value: Value) -> Sizes:
    """Sizes; those of a free batch axis are torch's symbols."""
    sizes = list(value.shape)[call.get("start", 0) : call.get("end", None)]
    fixed = all(isinstance(size, int) for size in sizes)
    return np.array(sizes, dtype=np.int64 if fixed else object)


def reshape(call: Call, value: Value, wanted: Value | None = None) -> Value:
    """0 keeps a size (unless `allowzero`), -1 is what is left."""
    sizes = call.integers("shape", wanted)
    if sizes is None:
        raise call.refuse("has no shape")
    if not call.get("allowzero", 0):
        sizes = [value.shape[axis] if isinstance(size, int) and size == 0 else size for axis, size in enumerate(sizes)]
    if not isinstance(value, torch.Tensor):
        return value.reshape([int(size) for size in sizes])
    if sizes and _is_one(sizes[0]) and value.dim() and not _is_one(value.shape[0]) and -1 not in sizes:
        sizes = [-1, *sizes[1:]]  # written for a batch of one
    return value.reshape(sizes)


def flatten(call: Call, value: Value) -> torch.Tensor:
    """To two axes."""
    values = tensor(value)
    axis = call.get("axis", 1) % (values.dim() + 1)
    if axis == 0:
        return values.reshape(1, -1)
    if axis == 1:
        return values.flatten(1) if values.dim() > 1 else values.unsqueeze(1)
    return values.flatten(0, axis - 1).flatten(1)


def transpose(call: Call, value: Value) -> Value:
    """All axes reversed where no order is given."""
    order = call.get("perm") or list(range(value.ndim))[::-1]
    return value.permute(order) if isinstance(value, torch.Tensor) else value.transpose(order)


def squeeze(call: Call, value: Value, axes: Value | None = None) -> Value:
    """All axes of length 1 where none are given."""
    given = call.integers("axes", axes)
    if not isinstance(value, torch.Tensor):
        return np.squeeze(value, None if given is None else tuple(given))
    if given is None:
        given = [axis for axis, size in enumerate(value.shape) if _is_one(size)]
    for axis in sorted((axis % value.dim() for axis in given), reverse=True):
        value = value.squeeze(axis)
    return value


def unsqueeze(call: Call, value: Value, axes: Value | None = None) -> Value:
    """Axes count in the result."""
    given = call.integers("axes", axes) or []
    rank = value.ndim + len(given)
    for axis in sorted(axis % rank for axis in given):
        value = value.unsqueeze(axis) if isinstance(value, torch.Tensor) else np.expand_dims(value, axis)
    return value


def concat(call: Call, *values: Value) -> Value:
    """Along one axis."""
    axis = call.get("axis", 0)
    if not any(isinstance(value, torch.Tensor) for value in values):
        return np.concatenate([call.sizes(value) for value in values], axis)
    return torch.cat([tensor(value) for value in values], axis)


def split(call: Call, value: Value, lengths: Value | None = None) -> list[torch.Tensor]:
    """Into parts of given lengths, or equal ones."""
    values, axis = tensor(value), call.get("axis", 0)
    given = call.integers("split", lengths)
    if given is None:
        parts = call.get("num_outputs", call.outputs)
        return list(torch.split(values, -(-values.shape[axis] // parts), axis))
    return list(torch.split(values, given, axis))


def slice_(call: Call, value: Value, *given: Value | None) -> Value:
    """Starts, ends, axes and steps; inputs since operator set 10."""
    starts, ends, axes, steps = (
        call.integers(name, each) for name, each in zip(("starts", "ends", "axes", "steps"), (*given, None, None, None, None), strict=False)
    )
    if starts is None or ends is None:
        raise call.refuse("has no starts and ends")
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps or [1] * len(starts), strict=True):
        if step < 0:
            if not _whole(start, end):
                raise call.refuse("goes backwards over a part of an axis")
            value = torch.flip(value, [axis]) if isinstance(value, torch.Tensor) else np.flip(value, axis)
            start, end, step = 0, end_of_all, -step  # noqa: PLW2901  what is left to do
        place = [slice(None)] * value.ndim
        place[axis] = slice(start, None if isinstance(end, int) and end >= end_of_all else end, step)
        value = value[tuple(place)]
    return value


end_of_all = 2**31 - 1
"""What files write for 'to the end'."""


def gather(call: Call, value: Value, indices: Value) -> Value:
    """Entries of one axis; the way to an embedding's rows."""
    axis = call.get("axis", 0)
    if not isinstance(value, torch.Tensor):
        return np.take(value, call.sizes(indices), axis)
    if not isinstance(indices, torch.Tensor):
        if indices.ndim == 0:
            return value.select(axis, int(indices))
        picked = tensor(indices).reshape(-1)
        found = value.index_select(axis, torch.where(picked < 0, picked + value.shape[axis], picked))
        return found.reshape(*value.shape[:axis], *indices.shape, *value.shape[axis % value.dim() + 1 :])
    if axis == 0 and value.dim() == 2:
        return F.embedding(indices.long(), value)
    found = value.index_select(axis, indices.reshape(-1))
    return found.reshape(*value.shape[:axis], *indices.shape, *value.shape[axis % value.dim() + 1 :])


def expand(call: Call, value: Value, sizes: Value) -> torch.Tensor:
    """Both ways: a 1 in the wanted shape keeps the tensor's size."""
    values, wanted = tensor(value), call.sizes(sizes).tolist()
    rank = max(values.dim(), len(wanted))
    own = [1] * (rank - values.dim()) + list(values.shape)
    asked = [1] * (rank - len(wanted)) + wanted
    return values.expand([mine if isinstance(size, int) and size == 1 else size for mine, size in zip(own, asked, strict=True)])


def tile(call: Call, value: Value, repeats: Value) -> torch.Tensor:
    """Repeats each axis."""
    return tensor(value).repeat(call.sizes(repeats).tolist())


def pad(call: Call, value: Value, pads: Value | None = None, fill: Value | None = None, axes: Value | None = None) -> torch.Tensor:
    """All starts, then all ends; torch counts pairs from the last axis."""
    values, mode = tensor(value), call.get("mode", "constant")
    amounts = call.integers("pads", pads) or []
    named = call.integers("axes", axes) or list(range(values.dim()))
    pairs = {axis % values.dim(): (amounts[i], amounts[i + len(named)]) for i, axis in enumerate(named)}
    flat = [amount for axis in reversed(range(values.dim())) for amount in pairs.get(axis, (0, 0))]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    if not any(flat):
        return values
    if mode == "constant":
        return F.pad(values, flat, value=float(fill.item()) if fill is not None else float(call.get("value", 0.0)))
    return F.pad(values, flat, mode={"edge": "replicate", "reflect": "reflect"}[mode])


def depth_to_space(call: Call, value: Value) -> torch.Tensor:
    """CRD is torch's pixel shuffle; DCR has the blocks before the channels."""
    values, block = tensor(value), call.get("blocksize")
    if call.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(values, block)
    batch, channels, height, width = values.shape
    blocks = values.reshape(batch, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(batch, channels // block**2, height * block, width * block)


def space_to_depth(call: Call, value: Value) -> torch.Tensor:
    """Blocks before channels."""
    values, block = tensor(value), call.get("blocksize")
    batch, channels, height, width = values.shape
    blocks = values.reshape(batch, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(batch, channels * block**2, height // block, width // block)


def constant_of_shape(call: Call, sizes: Value) -> Value:
    """Filled with one number, zero where none is given."""
    fill = call.get("value")
    filled = np.zeros(1, np.float32) if fill is None else fill.reshape(-1)
    wanted = call.sizes(sizes).tolist()
    if filled.dtype == np.int64:
        return np.full([int(size) for size in wanted], filled[0])
    return torch.full(wanted, filled[0].item(), dtype=torch.from_numpy(filled.copy()).dtype)  # a file's arrays can't be written to


def range_(call: Call, start: Value, limit: Value, step: Value) -> Sizes:
    """Whole numbers known while the network is captured."""
    return np.arange(*(int(call.sizes(value).item()) for value in (start, limit, step)), dtype=np.int64)


def _is_one(size: Any) -> bool:
    return isinstance(size, int) and size == 1


def _whole(start: Any, end: Any) -> bool:
    return isinstance(start, int) and isinstance(end, int) and (start in (-1, end_of_all) or start >= end_of_all) and end <= -end_of_all


OPERATORS: dict[str, Callable[..., Any]] = {
    "Shape": shape,
    "Size": lambda _, value: np.asarray(np.prod(np.array(value.shape, dtype=object))),
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Gather": gather,
    "Expand": expand,
    "Tile": tile,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
}
