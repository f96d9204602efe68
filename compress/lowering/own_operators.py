"""Operators that litert-torch can't write: carried through it by name, as custom calls, of which `tflite_operators` makes TFLite's own.

Each takes `channels_last` as its last argument: False for NCHW as a network has it, True once the layout pass has made it NHWC.
"""

from collections.abc import Callable

import torch

from compress.lowering.layout import CHANNELS_LAST, paddings

NAMESPACE = "edgepress"
Body = Callable[..., torch.Tensor]
NAMES: list[str] = []


def _operator(body: Body) -> Body:
    defined = torch.library.custom_op(f"{NAMESPACE}::{body.__name__}", body, mutates_args=())
    defined.register_fake(body)
    NAMES.append(body.__name__)
    return body


@_operator
def requantize(x: torch.Tensor, channels_last: bool) -> torch.Tensor:  # noqa: ARG001  one last argument for all
    """From one scale to another: a converter drops the second of two roundings that follow each other."""
    return x.clone()


@_operator
def gelu(x: torch.Tensor, approximate: str, channels_last: bool) -> torch.Tensor:  # noqa: ARG001  one last argument for all
    """GELU, which the converter writes for 8 bits only."""
    return torch.nn.functional.gelu(x, approximate=approximate)


@_operator
def logarithm(x: torch.Tensor, channels_last: bool) -> torch.Tensor:  # noqa: ARG001  one last argument for all
    """The natural logarithm, which the converter writes for 8 bits only."""
    return x.log()


@_operator
def join(tensors: list[torch.Tensor], axis: int, channels_last: bool) -> torch.Tensor:
    """Tensors one after the other, which the converter writes for 8 bits only; `axis` counts as in NCHW."""
    return torch.cat(tensors, CHANNELS_LAST.index(axis) if channels_last else axis)


@_operator
def total(x: torch.Tensor, y: torch.Tensor, channels_last: bool) -> torch.Tensor:  # noqa: ARG001  one last argument for all
    """The sum of two tensors of one shape: of a transposed one the converter makes another shape, which ADD has for 8 bits only."""
    return x + y


@_operator
def pad_with(x: torch.Tensor, amounts: list[int], value: float, channels_last: bool) -> torch.Tensor:
    """Padding with a number other than zero, which the converter writes for 8 bits only; `amounts` as torch has them for NCHW."""
    pairs = paddings(amounts, x.dim(), channels_last)
    return torch.nn.functional.pad(x, [amount for pair in reversed(pairs) for amount in pair], value=value)


@_operator
def prelu(x: torch.Tensor, slopes: torch.Tensor, scale: float, zero_point: int, channels_last: bool) -> torch.Tensor:
    """Below zero times a slope; the slopes, int8, are [channels] for images."""
    by_channel = slopes.reshape(-1, 1, 1) if x.dim() == 4 and not channels_last else slopes
    return torch.where(x > 0, x, x * (by_channel - zero_point) * scale)


@_operator
def take_channels(x: torch.Tensor, order: list[int], channels_last: bool) -> torch.Tensor:
    """The channels of an image in another order."""
    return x[..., order] if channels_last else x[:, order]


@_operator
def take_rows(table: torch.Tensor, rows: torch.Tensor, scale: float, zero_point: int, channels_last: bool) -> torch.Tensor:
    """Rows of an int8 table by their numbers (int32), as real numbers; the layout makes no difference."""
    del channels_last
    return (table[rows] - zero_point) * torch.tensor(scale)


@_operator
def depth_to_space(x: torch.Tensor, block: int, channels_last: bool) -> torch.Tensor:
    """Channels in the order (row, column, channel) spread over blocks; torch's pixel shuffle has (channel, row, column)."""
    image = x if channels_last else x.permute(0, 2, 3, 1)
    batch, height, width, channels = image.shape
    blocks = image.reshape(batch, height, width, block, block, channels // block**2).permute(0, 1, 3, 2, 4, 5)
    spread = blocks.reshape(batch, height * block, width * block, channels // block**2)
    return (spread if channels_last else spread.permute(0, 3, 1, 2)).clone()


@_operator
def transpose_conv(  # noqa: PLR0913, PLR0917  what the layer is made of
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    scales: list[float],
    stride: list[int],
    padding: list[int],
    channels_last: bool,
) -> torch.Tensor:
    """Transposed convolution; weights are int8 [outputs, height, width, inputs], the bias int32."""
    image = x.permute(0, 3, 1, 2) if channels_last else x
    real = weight.permute(3, 0, 1, 2) * torch.tensor(scales).reshape(1, -1, 1, 1)
    made = torch.nn.functional.conv_transpose2d(image, real, bias.float(), stride, padding)
    return (made.permute(0, 2, 3, 1) if channels_last else made).clone()


def overload(name: str) -> Callable[..., torch.Tensor]:
    """The operator as nodes of a graph call it."""
    found: Callable[..., torch.Tensor] = getattr(getattr(torch.ops, NAMESPACE), name).default
    return found
