"""TFLite's operators that move numbers about, in torch. The batch stays free wherever a file with batch size 1 tells where it goes."""

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from compress.reading.tflite.operators.arithmetic import DTYPES
from compress.reading.tflite.values import TO_TORCH, Call, Shape, activated, part, together
from targets.formats.tflite_options import MirrorMode

Tensor = torch.Tensor


def reshape(call: Call, values: Tensor, sizes: Any = None) -> Tensor:
    """RESHAPE and SQUEEZE."""
    return call.to_torch(_rearranged(call, call.to_file(values), _wanted(call, sizes)))


def expand(call: Call, values: Tensor, axis: Any) -> Tensor:
    """EXPAND_DIMS."""
    place = call.whole(axis)[0]
    return call.to_torch(call.to_file(values).unsqueeze(place))


def _wanted(call: Call, sizes: Any) -> Shape:
    """The shape for one sample: what is asked for, where that stands in the file, else what the file says of the result."""
    elements = math.prod(call.given[0])
    asked = tuple(int(size) for size in sizes.reshape(-1)) if isinstance(sizes, np.ndarray) else call.shape
    known = -math.prod(asked)
    wanted = tuple(elements // known if size == -1 and known else size for size in asked)
    return wanted if math.prod(wanted) == elements else call.shape


def _rearranged(call: Call, values: Tensor, wanted: Shape) -> Tensor:
    """More samples than one go where the file has an axis of length 1 for them, else they stay in front."""
    axis = call.batch(values)
    if axis is None:
        return values if tuple(values.shape) == wanted else values.reshape(wanted)
    if call.given[0][axis] != 1 and axis:
        raise call.refuse("mixes the batch with other axes")
    place = wanted.index(1) if call.given[0][axis] == 1 and 1 in wanted else 0
    rest = [size for number, size in enumerate(wanted) if number != place] if wanted[place] == 1 else list(wanted[1:])
    moved = values.permute(axis, *(other for other in range(values.dim()) if other != axis)) if axis else values
    moved = moved if list(moved.shape[1:]) == rest else moved.reshape(-1, *rest)
    return moved.permute(*range(1, place + 1), 0, *range(place + 1, moved.dim())) if place else moved


def transpose(call: Call, values: Tensor, order: Any) -> Tensor:
    """TRANSPOSE."""
    return call.to_torch(call.to_file(values).permute(call.whole(order)))


def concatenation(call: Call, *values: Tensor) -> Tensor:
    """CONCATENATION."""
    axis = call.axis(call.options.axis, len(call.given[0]))
    return activated(torch.cat(together(call, values), axis), call.options.activation)


def pack(call: Call, *values: Tensor) -> Tensor:
    """PACK."""
    laid_out = [call.to_file(each, position) for position, each in enumerate(together(call, values))]
    axis = call.options.axis % (len(call.given[0]) + 1)
    return call.to_torch(torch.cat([each.unsqueeze(axis) for each in laid_out], axis))


def unpack(call: Call, values: Tensor) -> list[Tensor]:
    """UNPACK."""
    flat = call.to_file(values)
    _refuse_batch(call, flat, call.options.axis)
    return [call.to_torch(flat.select(call.options.axis, place)) for place in range(flat.shape[call.options.axis])]


def split(call: Call, *given: Any) -> list[Tensor]:
    """SPLIT gives its axis first and SPLIT_V the lengths in between."""
    axis, values = (given[0], given[1]) if call.operator == "SPLIT" else (given[2], given[0])
    held = call.axis(call.whole(axis)[0], values.dim())
    lengths = values.shape[held] // call.options.splits if call.operator == "SPLIT" else call.whole(given[1])
    return list(torch.split(values, lengths, held))


def pad(call: Call, values: Tensor, amounts: Any, fill: Any = None) -> Tensor:
    """PAD, PADV2 and MIRROR_PAD; amounts before and after each axis."""
    given = call.whole(amounts)
    pairs = {call.axis(axis, values.dim()): (given[2 * axis], given[2 * axis + 1]) for axis in range(values.dim())}
    flat = [amount for axis in reversed(range(values.dim())) for amount in pairs[axis]]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    if call.operator == "MIRROR_PAD":
        if call.options.mode != MirrorMode.REFLECT:
            raise call.refuse("repeats the edge when it mirrors, which torch doesn't")
        return F.pad(values, flat, mode="reflect")
    return F.pad(values, flat, value=0.0 if fill is None else float(fill.reshape(-1)[0]))


def slice_(call: Call, values: Tensor, starts: Any, sizes: Any) -> Tensor:
    """SLICE: -1 is all that is left."""
    for axis, (start, size) in enumerate(zip(call.whole(starts), call.whole(sizes), strict=True)):
        length = call.given[0][axis]
        if start or size not in (-1, length):
            values = part(values, call.axis(axis, values.dim()), start, length - start if size < 0 else size)
    return values


def strided_slice(call: Call, values: Tensor, starts: Any, ends: Any, steps: Any) -> Tensor:
    """STRIDED_SLICE, backwards too, without an ellipsis."""
    options, shape = call.options, call.given[0]
    if options.ellipsis_mask:
        raise call.refuse("leaves axes out by an ellipsis")
    index: list[slice | int | None] = []
    backwards, axis = [], 0
    for place, (start, end, step) in enumerate(zip(call.whole(starts), call.whole(ends), call.whole(steps), strict=True)):
        if options.new_axis_mask >> place & 1:
            index.append(None)
            continue
        if options.shrink_axis_mask >> place & 1:
            _refuse_batch(call, call.to_file(values), axis)
            index.append(start % shape[axis])
        else:
            first, last = (None if mask >> place & 1 else bound for mask, bound in ((options.begin_mask, start), (options.end_mask, end)))
            wanted = range(shape[axis])[slice(first, last, step)]
            if step < 0:
                backwards.append(sum(not isinstance(each, int) for each in index))
                wanted = wanted[::-1]
            index.append(slice(None) if wanted == range(shape[axis]) else slice(wanted.start, wanted.stop, wanted.step))
        axis += 1
    if call.images[0] and call.image and axis == len(index) == len(shape):
        taken = values[tuple(index[place] for place in TO_TORCH)]
        return taken.flip([call.axis(place, 4) for place in backwards]) if backwards else taken
    while index and index[-1] == slice(None):
        index.pop()
    taken = call.to_file(values)[tuple(index)]
    return call.to_torch(taken.flip(backwards) if backwards else taken)


def reverse(call: Call, values: Tensor, axes: Any) -> Tensor:
    """REVERSE_V2."""
    return values.flip([call.axis(axis, values.dim()) for axis in call.whole(axes)])


def gather(call: Call, values: Tensor, indices: Any) -> Tensor:
    """GATHER of rows that stand in the file, or of an embedding."""
    if isinstance(indices, torch.Tensor):
        if call.options.axis or values.dim() != 2:
            raise call.refuse("looks numbers up in something else than rows")
        return call.to_torch(F.embedding(indices.long(), values))
    axis = call.options.axis % len(call.given[0])
    wanted = [place % call.given[0][axis] for place in call.whole(indices)]
    flat = call.to_file(values)
    _refuse_batch(call, flat, axis)
    if not indices.ndim:
        return call.to_torch(flat.select(axis, wanted[0]))
    taken = part(flat, axis, wanted[0], len(wanted)) if wanted == list(range(wanted[0], wanted[-1] + 1)) else None
    taken = flat.index_select(axis, torch.tensor(wanted)) if taken is None else taken
    return call.to_torch(taken.reshape(*taken.shape[:axis], *indices.shape, *taken.shape[axis + 1 :]) if indices.ndim != 1 else taken)


def update_slice(call: Call, values: Tensor, update: Tensor, starts: Any) -> Tensor:
    """DYNAMIC_UPDATE_SLICE along one axis at a place that stands in the file."""
    whole, piece = together(call, (values, update))
    shape, size = call.given[0], call.given[1]
    shorter = [axis for axis in range(len(shape)) if shape[axis] != size[axis]]
    if not shorter:
        return piece
    if len(shorter) > 1:
        raise call.refuse("replaces a part of more than one axis")
    axis = shorter[0]
    start = min(max(call.whole(starts)[axis], 0), shape[axis] - size[axis])
    held = call.axis(axis, len(shape))
    after = start + size[axis]
    pieces = [part(whole, held, 0, start), piece, part(whole, held, after, shape[axis] - after)]
    return torch.cat([each for each, length in zip(pieces, (start, size[axis], shape[axis] - after), strict=True) if length], held)


def tile(call: Call, values: Tensor, times: Any) -> Tensor:
    """TILE."""
    counts = {call.axis(axis, values.dim()): count for axis, count in enumerate(call.whole(times))}
    return values.repeat([counts[axis] for axis in range(values.dim())])


def broadcast(call: Call, values: Tensor, sizes: Any) -> Tensor:
    """BROADCAST_TO."""
    flat = call.to_file(values)
    added = len(call.whole(sizes)) - flat.dim()
    sizes_now = [size if axis < added or call.given[0][axis - added] != size else -1 for axis, size in enumerate(call.whole(sizes))]
    return call.to_torch(flat.expand(sizes_now))


def range_(call: Call, start: Any, limit: Any, delta: Any) -> Tensor:
    """RANGE, of numbers in the file."""
    if not all(isinstance(each, np.ndarray) for each in (start, limit, delta)):
        raise call.refuse("its sizes are computed from the data; only networks of fixed structure can be lifted")
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=DTYPES[call.dtype])


def fill(call: Call, sizes: Any, value: Tensor) -> Tensor:
    """FILL."""
    return call.to_torch(value.reshape(()).expand(call.whole(sizes)))


def _refuse_batch(call: Call, values: Tensor, axis: int) -> None:
    if call.batch(values) == axis % values.dim():
        raise call.refuse("takes the batch apart")
