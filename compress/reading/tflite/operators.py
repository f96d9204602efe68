"""TFLite's operators in torch. Images are NCHW here, so axes are translated; what isn't about images works in the file's layout."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from compress.reading.tflite.values import Call, activated, alike, axis_of, padding, to_file, to_torch
from targets.formats.tflite_options import MirrorMode, Padding

Tensor = torch.Tensor


def convolution(call: Call, values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """CONV_2D, grouped where the weights say so, and DEPTHWISE_CONV_2D. Weights [O, I, H, W]."""
    options = call.options
    stride, dilation = (options.stride_h, options.stride_w), (options.dilation_h, options.dilation_w)
    height, width = ((size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilation, strict=True))
    left, right, top, bottom = padding(call, values, (height, width), stride)
    groups = values.shape[1] // weight.shape[1]
    if left == right and top == bottom:
        return activated(F.conv2d(values, weight, bias, stride, (top, left), dilation, groups), options.activation)
    padded = F.pad(values, [left, right, top, bottom])
    return activated(F.conv2d(padded, weight, bias, stride, 0, dilation, groups), options.activation)


def transposed_convolution(call: Call, sizes: Any, weight: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """TRANSPOSE_CONV: the wanted size decides what is cut off. Weights [I, O, H, W]."""
    options = call.options
    stride = (options.stride_h, options.stride_w)
    wanted = call.whole(sizes)[1:3]
    whole = F.conv_transpose2d(values, weight, bias, stride)
    for axis in (0, 1):
        surplus = whole.shape[2 + axis] - wanted[axis]
        before = max(surplus, 0) // 2 if options.padding == Padding.SAME else 0
        if surplus < 0:
            whole = F.pad(whole, [0, -surplus] if axis else [0, 0, 0, -surplus])
        whole = whole.narrow(2 + axis, before, wanted[axis])
    return activated(whole, options.activation)


def fully_connected(call: Call, values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """FULLY_CONNECTED: all axes but the last are batches, or with `keep_dims` stay."""
    flat = to_file(values)
    if not call.options.keep_dims and flat.dim() != 2:
        flat = flat.reshape(-1, weight.shape[1])
    return to_torch(activated(F.linear(flat, weight, bias), call.options.activation))


def pool(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A window's largest number or mean; padding takes no part."""

    def compute(call: Call, values: Tensor) -> Tensor:
        options = call.options
        kernel, stride = (options.filter_h, options.filter_w), (options.stride_h, options.stride_w)
        left, right, top, bottom = padding(call, values, kernel, stride)
        largest = function is F.max_pool2d
        if left == right and top == bottom and 2 * left <= kernel[1] and 2 * top <= kernel[0]:
            extra = {} if largest else {"count_include_pad": False}
            return activated(function(values, kernel, stride, (top, left), **extra), options.activation)
        amounts = [left, right, top, bottom]
        if largest:
            return activated(function(F.pad(values, amounts, value=float("-inf")), kernel, stride), options.activation)
        counted = function(F.pad(torch.ones_like(values[:1, :1]), amounts), kernel, stride)
        return activated(function(F.pad(values, amounts), kernel, stride) / counted, options.activation)

    return compute


def both(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Two tensors that broadcast."""

    def compute(call: Call, one: Tensor, other: Tensor) -> Tensor:
        result = function(*alike(one, other))
        return activated(result, call.options.activation) if hasattr(call.options, "activation") else result

    return compute


def alone(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """One tensor, number by number."""
    return lambda _, values: function(values)


def softmax(call: Call, values: Tensor) -> Tensor:
    """SOFTMAX over the last axis."""
    beta = call.options.beta or 1.0
    return torch.softmax(values * beta if beta != 1.0 else values, axis_of(-1, values.dim()))


def reshape(call: Call, values: Tensor, *_: Any) -> Tensor:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: to the shape that the file gives the result, the batch left free."""
    if call.shape[:1] != (1,) and call.shape[0] != values.shape[0]:
        raise call.refuse(
            "mixes the batch with other axes, so it can't be lifted to torch yet; `edgepress profile` takes the file as it is"
        )
    flat = to_file(values)
    shape = [-1, *call.shape[1:]]
    return to_torch(flat if list(flat.shape[1:]) == shape[1:] else flat.reshape(shape))


def transpose(call: Call, values: Tensor, order: Any) -> Tensor:
    """TRANSPOSE."""
    return to_torch(to_file(values).permute(call.whole(order)))


def concatenation(call: Call, *values: Tensor) -> Tensor:
    """CONCATENATION."""
    return activated(torch.cat(values, axis_of(call.options.axis, values[0].dim())), call.options.activation)


def pad(call: Call, values: Tensor, amounts: Any, fill: Any = None) -> Tensor:
    """PAD, PADV2 and MIRROR_PAD; amounts before and after each axis."""
    given = call.whole(amounts)
    pairs = {axis_of(axis, values.dim()): (given[2 * axis], given[2 * axis + 1]) for axis in range(values.dim())}
    flat = [amount for axis in reversed(range(values.dim())) for amount in pairs[axis]]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    if call.operator == "MIRROR_PAD":
        if call.options.mode != MirrorMode.REFLECT:
            raise call.refuse("repeats the edge when it mirrors, which torch doesn't")
        return F.pad(values, flat, mode="reflect")
    return F.pad(values, flat, value=0.0 if fill is None else float(fill.reshape(-1)[0]))


def reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    """Over some axes; what is left of an image is no image any more unless its axes stay."""

    def compute(call: Call, values: Tensor, axes: Any) -> Tensor:
        wanted = [axis_of(axis, values.dim()) for axis in call.whole(axes)]
        if call.options.keep_dims or sorted(wanted) == [2, 3]:
            return function(values, wanted, call.options.keep_dims)
        in_file = [axis % values.dim() for axis in call.whole(axes)]
        return to_torch(function(to_file(values), in_file, False))

    return compute


def slice_(call: Call, values: Tensor, starts: Any, sizes: Any) -> Tensor:
    """SLICE: -1 is all that is left."""
    for axis, (start, size) in enumerate(zip(call.whole(starts), call.whole(sizes), strict=True)):
        held = axis_of(axis, values.dim())
        if axis and (start or size not in (-1, values.shape[held])):
            values = values.narrow(held, start, values.shape[held] - start if size < 0 else size)
    return values


def strided_slice(call: Call, values: Tensor, starts: Any, ends: Any, steps: Any) -> Tensor:
    """STRIDED_SLICE without new axes or an ellipsis."""
    options, taken = call.options, to_file(values)
    if options.ellipsis_mask or options.new_axis_mask:
        raise call.refuse("makes new axes or leaves some out by an ellipsis")
    bounds = list(zip(call.whole(starts), call.whole(ends), call.whole(steps), strict=True))
    for axis in reversed(range(len(bounds))):
        start, end, step = bounds[axis]
        if step < 0:
            raise call.refuse("goes backwards")
        if options.shrink_axis_mask >> axis & 1:
            taken = taken.select(axis, start)
        elif axis:
            first = None if options.begin_mask >> axis & 1 else start
            last = None if options.end_mask >> axis & 1 else end
            taken = taken[(slice(None),) * axis + (slice(first, last, step),)]
    return to_torch(taken)


def split(call: Call, *given: Any) -> list[Tensor]:
    """SPLIT gives its axis first and SPLIT_V the lengths in between."""
    axis, values = (given[0], given[1]) if call.operator == "SPLIT" else (given[2], given[0])
    held = axis_of(call.whole(axis)[0], values.dim())
    lengths = values.shape[held] // call.options.splits if call.operator == "SPLIT" else call.whole(given[1])
    return list(torch.split(values, lengths, held))


def gather(call: Call, values: Tensor, indices: Any) -> Tensor:
    """GATHER of rows that stand in the file, or of an embedding."""
    if isinstance(indices, torch.Tensor):
        if call.options.axis or values.dim() != 2:
            raise call.refuse("looks numbers up in something else than rows")
        return to_torch(F.embedding(indices.long(), values))
    wanted = torch.tensor(call.whole(indices))
    taken = to_file(values).index_select(call.options.axis, wanted)
    return to_torch(taken if indices.ndim else taken.squeeze(call.options.axis))


def pack(call: Call, *values: Tensor) -> Tensor:
    """PACK."""
    return to_torch(torch.stack([to_file(each) for each in values], call.options.axis))


def unpack(call: Call, values: Tensor) -> list[Tensor]:
    """UNPACK."""
    return [to_torch(each) for each in torch.unbind(to_file(values), call.options.axis)]


def resize(call: Call, values: Tensor, sizes: Any) -> Tensor:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR where torch places pixels alike."""
    wanted, options = call.whole(sizes), call.options
    whole = all(size % old == 0 for size, old in zip(wanted, values.shape[2:], strict=True))
    if call.operator == "RESIZE_NEAREST_NEIGHBOR":
        if options.align_corners or (options.half_pixel_centers and not whole):
            raise call.refuse("places its pixels as torch doesn't")
        return F.interpolate(values, wanted)
    if not (options.align_corners or options.half_pixel_centers):
        raise call.refuse("places its pixels as torch doesn't; export it with half_pixel_centers")
    return F.interpolate(values, wanted, mode="bilinear", align_corners=options.align_corners)


def matrix_product(call: Call, one: Tensor, other: Tensor) -> Tensor:
    """BATCH_MATMUL."""
    left, right = to_file(one), to_file(other)
    left = left.transpose(-1, -2) if call.options.adjoint_x else left
    product: Tensor = torch.matmul(left, right.transpose(-1, -2) if call.options.adjoint_y else right)
    return to_torch(product)


def depth_to_space(call: Call, values: Tensor) -> Tensor:
    """DEPTH_TO_SPACE: blocks before channels."""
    block = call.options.block_size
    batch, channels, height, width = values.shape
    blocks = values.reshape(batch, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(batch, channels // block**2, height * block, width * block)


def space_to_depth(call: Call, values: Tensor) -> Tensor:
    """SPACE_TO_DEPTH: blocks before channels."""
    block = call.options.block_size
    batch, channels, height, width = values.shape
    blocks = values.reshape(batch, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(batch, channels * block**2, height // block, width // block)


def prelu(_: Call, values: Tensor, slopes: Tensor) -> Tensor:
    """PRELU: a slope a channel, or any that broadcast."""
    if slopes.numel() in (1, values.shape[1]):
        return F.prelu(values, slopes.reshape(-1))
    values, slopes = alike(values, slopes)
    return torch.where(values < 0, values * slopes, values)


OPERATORS: dict[str, Callable[..., Any]] = {
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": convolution,
    "TRANSPOSE_CONV": transposed_convolution,
    "FULLY_CONNECTED": fully_connected,
    "BATCH_MATMUL": matrix_product,
    "ADD": both(torch.add),
    "SUB": both(torch.sub),
    "MUL": both(torch.mul),
    "DIV": both(torch.div),
    "MAXIMUM": both(torch.maximum),
    "MINIMUM": both(torch.minimum),
    "SQUARED_DIFFERENCE": both(lambda one, other: (one - other).square()),
    "AVERAGE_POOL_2D": pool(F.avg_pool2d),
    "MAX_POOL_2D": pool(F.max_pool2d),
    "MEAN": reduce(lambda values, axes, keep: values.mean(axes, keep)),
    "SUM": reduce(lambda values, axes, keep: values.sum(axes, keep)),
    "REDUCE_MAX": reduce(lambda values, axes, keep: values.amax(axes, keep)),
    "REDUCE_MIN": reduce(lambda values, axes, keep: values.amin(axes, keep)),
    "SOFTMAX": softmax,
    "LOG_SOFTMAX": lambda _, values: torch.log_softmax(values, axis_of(-1, values.dim())),
    "LOGISTIC": alone(torch.sigmoid),
    "TANH": alone(torch.tanh),
    "RELU": alone(F.relu),
    "RELU6": alone(F.relu6),
    "RELU_N1_TO_1": alone(lambda values: F.hardtanh(values, -1.0, 1.0)),
    "LEAKY_RELU": lambda call, values: F.leaky_relu(values, call.options.alpha),
    "PRELU": prelu,
    "ELU": alone(F.elu),
    "GELU": lambda call, values: F.gelu(values, approximate="tanh" if call.options.approximate else "none"),
    "HARD_SWISH": alone(F.hardswish),
    "ABS": alone(torch.abs),
    "NEG": alone(torch.neg),
    "EXP": alone(torch.exp),
    "LOG": alone(torch.log),
    "SQRT": alone(torch.sqrt),
    "RSQRT": alone(torch.rsqrt),
    "SQUARE": alone(torch.square),
    "RESHAPE": reshape,
    "SQUEEZE": reshape,
    "EXPAND_DIMS": reshape,
    "TRANSPOSE": transpose,
    "CONCATENATION": concatenation,
    "PAD": pad,
    "PADV2": pad,
    "MIRROR_PAD": pad,
    "SLICE": slice_,
    "STRIDED_SLICE": strided_slice,
    "SPLIT": split,
    "SPLIT_V": split,
    "GATHER": gather,
    "PACK": pack,
    "UNPACK": unpack,
    "RESIZE_BILINEAR": resize,
    "RESIZE_NEAREST_NEIGHBOR": resize,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_DEPTH": space_to_depth,
}
