"""Pooling as TFLite's kernels do it: on images, without padding for averages, windows of one size."""

from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import add_constant, argument
from compress.lowering.rewriting import call

aten = torch.ops.aten


def average(graph: fx.GraphModule, node: Any) -> fx.Node | None:
    """Padding, an average that counts it, and, where torch doesn't count it or windows hang over the edge, a factor for each place."""
    kernel, stride, padding = pair(argument(node, "kernel_size")), pair(argument(node, "stride")), pair(argument(node, "padding"))
    stride = stride or kernel
    size, outputs = list(node.args[0].meta["val"].shape[-2:]), list(node.meta["val"].shape[-2:])
    divisor: Any
    divisor, counts_padding = argument(node, "divisor_override"), bool(argument(node, "count_include_pad"))
    over = [(outputs[a] - 1) * stride[a] + kernel[a] - size[a] - padding[a] for a in range(2)]
    if not any(padding) and max(over) <= 0 and divisor is None:
        return None
    amounts = [padding[1], max(over[1], 0), padding[0], max(over[0], 0)]
    padded = call(node, aten.pad.default, node.args[0], amounts) if any(amounts) else node.args[0]
    averaged = call(node, aten.avg_pool2d.default, padded, kernel, stride)
    # an average of ones that torch counts, beside one of what the kernel counts
    ones = torch.ones(1, 1, *size)
    torchs = torch.nn.functional.avg_pool2d(ones, kernel, stride, padding, bool(argument(node, "ceil_mode")), counts_padding, divisor)
    ours = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(ones, amounts), kernel, stride)
    factor = torchs / ours
    if torch.equal(factor, torch.ones_like(factor)):
        return averaged
    return call(node, aten.mul.Tensor, averaged, add_constant(graph, f"{node.name}_counted", factor))


def adaptive(graph: fx.GraphModule, node: Any) -> Any:  # noqa: ARG001  one signature for all
    """Windows of one size, where the image divides evenly into them; a mean or largest value of the whole image where there is one."""
    size, outputs = node.args[0].meta["val"].shape[-2:], pair(argument(node, "output_size"))
    maximum = "max" in str(node.target)
    if any(length % count for length, count in zip(size, outputs, strict=True)) or (outputs == [1, 1] and not maximum):
        return None
    kernel = [length // count for length, count in zip(size, outputs, strict=True)]
    pooled = call(node, aten.max_pool2d.default if maximum else aten.avg_pool2d.default, node.args[0], kernel, kernel)
    return (pooled,) if maximum else pooled


def pair(value: Any) -> list[int]:
    """One number for height and width, or two."""
    numbers = [int(number) for number in value] if isinstance(value, list | tuple) else [int(value)] if value is not None else []
    return numbers * 2 if len(numbers) == 1 else numbers
