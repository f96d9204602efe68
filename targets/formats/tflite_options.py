"""The options of TFLite's operators, as its schema lays them out (schema.fbs, version 3): one frozen dataclass a table.

Fields stand in the order of the schema's slots, the last ones left out where nobody asks for them. A field's type says how it is
stored: int is int32, float is float32, an enumeration is one byte.
"""

import enum
from dataclasses import dataclass, fields
from typing import Any

from targets.formats.flatbuffer import MalformedError, Table


class Padding(enum.IntEnum):
    """How a window is laid over the edge of its input."""

    SAME = 0
    VALID = 1


class Activation(enum.IntEnum):
    """What is fused behind an operator."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4
    SIGN_BIT = 5


class MirrorMode(enum.IntEnum):
    """Whether a mirrored pad repeats the edge."""

    REFLECT = 0
    SYMMETRIC = 1


@dataclass(frozen=True)
class Conv2DOptions:
    """CONV_2D."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    activation: Activation = Activation.NONE
    dilation_w: int = 1
    dilation_h: int = 1


@dataclass(frozen=True)
class DepthwiseConv2DOptions:
    """DEPTHWISE_CONV_2D."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    depth_multiplier: int = 0
    activation: Activation = Activation.NONE
    dilation_w: int = 1
    dilation_h: int = 1


@dataclass(frozen=True)
class TransposeConvOptions:
    """TRANSPOSE_CONV."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Pool2DOptions:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    filter_w: int = 0
    filter_h: int = 0
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class FullyConnectedOptions:
    """FULLY_CONNECTED; `weights_format` 1 is shuffled."""

    activation: Activation = Activation.NONE
    weights_format: bool = False
    keep_dims: bool = False


@dataclass(frozen=True)
class ArithmeticOptions:
    """ADD, SUB, MUL and DIV. `powers_of_two` says that sums of int16 whose scales are all powers of two are made by shifts."""

    activation: Activation = Activation.NONE
    powers_of_two: bool = True


@dataclass(frozen=True)
class SoftmaxOptions:
    """SOFTMAX."""

    beta: float = 0.0


@dataclass(frozen=True)
class ConcatenationOptions:
    """CONCATENATION."""

    axis: int = 0
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class ReducerOptions:
    """MEAN, SUM, REDUCE_MAX and their like."""

    keep_dims: bool = False


@dataclass(frozen=True)
class StridedSliceOptions:
    """STRIDED_SLICE: a bit an axis."""

    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0
    offset: bool = False


@dataclass(frozen=True)
class SplitOptions:
    """SPLIT and SPLIT_V."""

    splits: int = 0


@dataclass(frozen=True)
class PackOptions:
    """PACK and UNPACK."""

    count: int = 0
    axis: int = 0


@dataclass(frozen=True)
class GatherOptions:
    """GATHER."""

    axis: int = 0
    batch_dims: int = 0


@dataclass(frozen=True)
class LeakyReluOptions:
    """LEAKY_RELU."""

    alpha: float = 0.0


@dataclass(frozen=True)
class GeluOptions:
    """GELU."""

    approximate: bool = False


@dataclass(frozen=True)
class ResizeBilinearOptions:
    """RESIZE_BILINEAR; height and width are no longer used."""

    height: int = 0
    width: int = 0
    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True)
class ResizeNearestOptions:
    """RESIZE_NEAREST_NEIGHBOR."""

    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True)
class MirrorPadOptions:
    """MIRROR_PAD."""

    mode: MirrorMode = MirrorMode.REFLECT


@dataclass(frozen=True)
class BatchMatMulOptions:
    """BATCH_MATMUL."""

    adjoint_x: bool = False
    adjoint_y: bool = False


@dataclass(frozen=True)
class BlockOptions:
    """SPACE_TO_DEPTH and DEPTH_TO_SPACE."""

    block_size: int = 0


@dataclass(frozen=True)
class WhileOptions:
    """WHILE: which of the file's graphs say whether there is another turn, and what a turn does."""

    condition: int = 0
    body: int = 0


@dataclass(frozen=True)
class SequenceLstmOptions:
    """UNIDIRECTIONAL_SEQUENCE_LSTM."""

    activation: Activation = Activation.NONE
    cell_clip: float = 0.0
    projection_clip: float = 0.0
    time_major: bool = False


TYPES: dict[int, type[Any]] = {
    1: Conv2DOptions,
    2: DepthwiseConv2DOptions,
    5: Pool2DOptions,
    8: FullyConnectedOptions,
    9: SoftmaxOptions,
    10: ConcatenationOptions,
    11: ArithmeticOptions,
    15: ResizeBilinearOptions,
    19: BlockOptions,
    21: ArithmeticOptions,
    23: GatherOptions,
    27: ReducerOptions,
    28: ArithmeticOptions,
    29: ArithmeticOptions,
    32: StridedSliceOptions,
    35: SplitOptions,
    49: TransposeConvOptions,
    59: PackOptions,
    64: PackOptions,
    71: SequenceLstmOptions,
    74: ResizeNearestOptions,
    75: LeakyReluOptions,
    77: MirrorPadOptions,
    79: SplitOptions,
    93: WhileOptions,
    94: BlockOptions,
    101: BatchMatMulOptions,
    116: GeluOptions,
}
"""The dataclass for each number of the schema's union BuiltinOptions; what isn't here is read as None."""

STORED = {int: "i", bool: "?", float: "f"}


def decode(number: int, table: Table | None) -> object | None:
    """The options of union member `number`. MalformedError where an enumeration has no such value."""
    kind = TYPES.get(number)
    if kind is None or table is None:
        return None
    defaults, values = kind(), dict[str, object]()
    for slot, entry in enumerate(fields(kind)):
        target: Any = entry.type
        value = table.scalar(slot, STORED.get(target, "b"), float(getattr(defaults, entry.name)))
        try:
            values[entry.name] = target(value)
        except ValueError:
            raise MalformedError(f"{kind.__name__} has {entry.name} {value}, which the schema doesn't know") from None
    options: object = kind(**values)
    return options
