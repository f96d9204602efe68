"""TFLite's operators for images in torch: convolutions, pools, and what moves pixels. Images are NCHW, weights [O, I, H, W]."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from compress.reading import resizing
from compress.reading.tflite.values import Call, activated, alike, padding, part
from targets.formats.tflite_options import Padding

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
        whole = part(whole, 2 + axis, before, wanted[axis])
    return activated(whole, options.activation)


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


def resize(call: Call, values: Tensor, sizes: Any) -> Tensor:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR; without options they are TensorFlow 1's, which start at a corner."""
    wanted, options = call.whole(sizes), call.options
    place = "align_corners" if options.align_corners else "half_pixel" if options.half_pixel_centers else "asymmetric"
    if call.operator == "RESIZE_BILINEAR":
        return resizing.linear(values, wanted, place)
    return resizing.nearest(values, wanted, place, "floor" if place == "asymmetric" else "round_prefer_ceil")


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


def space_to_batch(call: Call, values: Tensor, blocks: Any, amounts: Any) -> Tensor:
    """SPACE_TO_BATCH_ND: pixels of every block become samples, all of the same place in the block together."""
    sizes, around = call.whole(blocks), call.whole(amounts)
    flat = call.to_file(values)
    inner = flat.dim() - 1 - len(sizes)
    flat = F.pad(flat, [0, 0] * inner + [amount for axis in reversed(range(len(sizes))) for amount in around[2 * axis : 2 * axis + 2]])
    shape = [flat.shape[0]]
    for axis, size in enumerate(sizes):
        shape += [flat.shape[1 + axis] // size, size]
    shape += list(flat.shape[1 + len(sizes) :])
    number = len(sizes)
    order = [*range(2, 2 * number + 1, 2), 0, *range(1, 2 * number, 2), *range(2 * number + 1, len(shape))]
    result = flat.reshape(shape).permute(order)
    return call.to_torch(result.reshape(-1, *result.shape[number + 1 :]))


def batch_to_space(call: Call, values: Tensor, blocks: Any, cut: Any) -> Tensor:
    """BATCH_TO_SPACE_ND: SPACE_TO_BATCH_ND undone."""
    sizes, around = call.whole(blocks), call.whole(cut)
    flat, number = call.to_file(values), len(sizes)
    split = flat.reshape(*sizes, -1, *flat.shape[1:])
    order = [number, *(axis for place in range(number) for axis in (number + 1 + place, place)), *range(2 * number + 1, split.dim())]
    joined = [flat.shape[1 + place] * size for place, size in enumerate(sizes)]
    result = split.permute(order).reshape(-1, *joined, *flat.shape[1 + number :])
    for place, length in enumerate(joined):
        before, after = around[2 * place], around[2 * place + 1]
        result = part(result, 1 + place, before, length - before - after)
    return call.to_torch(result)


def prelu(call: Call, values: Tensor, slopes: Tensor) -> Tensor:
    """PRELU: a slope a channel, or any that broadcast."""
    if slopes.numel() in (1, values.shape[1]):
        return F.prelu(values, slopes.reshape(-1))
    values, slopes = alike(call, values, slopes)
    return torch.where(values < 0, values * slopes, values)
