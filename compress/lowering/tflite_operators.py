"""Makes TFLite's own operators of the custom calls that `own_operators` were carried through the converter as."""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from compress.lowering import flatbuffer_parts
from compress.lowering.layout import CHANNELS_LAST, paddings
from compress.lowering.own_operators import NAMESPACE
from targets.errors import ExportError
from targets.formats.tflite_objects import drop_unused, operator_code, operator_kind, text

BIAS_SINCE = 3
"""The first version of TRANSPOSE_CONV that adds a bias."""
Builtin, Options = schema.BuiltinOperator, schema.BuiltinOptions


def write_builtins(file: Any) -> None:
    """Replaces, in place, each of our custom calls, and the float conversions around it, by an operator on integers."""
    graph = file.subgraphs[0]
    sources = {
        operator.outputs[0]: operator.inputs[0] for operator in graph.operators if operator_kind(file, operator) == Builtin.DEQUANTIZE
    }
    written: dict[int, list[Any]] = {}
    for operator in graph.operators:
        if operator_kind(file, operator) != Builtin.STABLEHLO_CUSTOM_CALL:
            continue
        name = text(operator.builtinOptions2.callTargetName).removeprefix(f"{NAMESPACE}.")
        options = json.loads(text(operator.builtinOptions2.backendConfig))
        inputs = [sources.get(index, index) for index in operator.inputs]
        readers = [reader for reader in graph.operators if operator.outputs[0] in reader.inputs]
        if any(operator_kind(file, reader) != Builtin.QUANTIZE for reader in readers):
            raise ExportError(f"operator '{name}': the converter left it without integers; leave 'tflite' out of 'export', and report it")
        written[id(operator)] = [made for reader in readers for made in WRITERS[name](file, inputs, reader.outputs, options)]
        written |= {id(reader): [] for reader in readers}
    graph.operators = [made for operator in graph.operators for made in written.get(id(operator), [operator])]
    drop_unused(file)


def _operator(code: int, inputs: Sequence[int], outputs: Sequence[int], options: Any = None) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, list(inputs), list(outputs)
    if options is not None:
        made.builtinOptionsType = getattr(Options, type(options).__name__.removesuffix("T"))
        made.builtinOptions = options
    return made


def _requantize(file: Any, inputs: Sequence[int], outputs: Sequence[int], _: Sequence[Any]) -> list[Any]:
    return [_operator(operator_code(file, Builtin.QUANTIZE), inputs, outputs, schema.QuantizeOptionsT())]


def _prelu(file: Any, inputs: Sequence[int], outputs: Sequence[int], given: Sequence[Any]) -> list[Any]:
    _quantize(file, inputs[1], given[:1], given[1])
    return [_operator(operator_code(file, Builtin.PRELU), inputs, outputs)]


def _take_rows(file: Any, inputs: Sequence[int], outputs: Sequence[int], given: Sequence[Any]) -> list[Any]:
    _quantize(file, inputs[0], given[:1], given[1])
    return [_operator(operator_code(file, Builtin.GATHER), inputs, outputs, schema.GatherOptionsT())]


def _take_channels(file: Any, inputs: Sequence[int], outputs: Sequence[int], given: Sequence[Any]) -> list[Any]:
    options = schema.GatherOptionsT()
    options.axis = 3
    return [_operator(operator_code(file, Builtin.GATHER), [*inputs, _numbers(file, given[0])], outputs, options)]


def _depth_to_space(file: Any, inputs: Sequence[int], outputs: Sequence[int], given: Sequence[Any]) -> list[Any]:
    if file.subgraphs[0].tensors[inputs[0]].type == schema.TensorType.INT16:
        return _blocks_apart(file, inputs, outputs, given[0])
    options = schema.DepthToSpaceOptionsT()
    options.blockSize = given[0]
    return [_operator(operator_code(file, Builtin.DEPTH_TO_SPACE), inputs, outputs, options)]


def _blocks_apart(file: Any, inputs: Sequence[int], outputs: Sequence[int], block: int) -> list[Any]:
    """DEPTH_TO_SPACE has no int16 kernel: for one sample it is a transpose of (rows, columns, rows of a block, all the rest)."""
    tensors = file.subgraphs[0].tensors
    _, height, width, channels = tensors[inputs[0]].shape
    apart = _like(file, inputs[0], (height, width, block, channels // block))
    together = _like(file, inputs[0], (height, block, width, channels // block))
    return [
        _reshape(file, inputs[0], apart),
        _operator(operator_code(file, Builtin.TRANSPOSE), [apart, _numbers(file, (0, 2, 1, 3))], [together], schema.TransposeOptionsT()),
        _reshape(file, together, outputs[0]),
    ]


def _reshape(file: Any, source: int, made: int) -> Any:
    options = schema.ReshapeOptionsT()
    options.newShape = list(file.subgraphs[0].tensors[made].shape)
    return _operator(operator_code(file, Builtin.RESHAPE), [source, _numbers(file, options.newShape)], [made], options)


def _like(file: Any, index: int, shape: Sequence[int]) -> int:
    """The index of a new tensor of the same kind of numbers."""
    tensors = file.subgraphs[0].tensors
    tensor = copy.copy(tensors[index])
    tensor.shape, tensor.shapeSignature = list(shape), None
    tensors.append(tensor)
    return len(tensors) - 1


def _gelu(file: Any, inputs: Sequence[int], outputs: Sequence[int], given: Sequence[Any]) -> list[Any]:
    options = schema.GeluOptionsT()
    options.approximate = given[0] == "tanh"
    return [_operator(operator_code(file, Builtin.GELU), inputs, outputs, options)]


def _logarithm(file: Any, inputs: Sequence[int], outputs: Sequence[int], _: Sequence[Any]) -> list[Any]:
    return [_operator(operator_code(file, Builtin.LOG), inputs, outputs)]


def _join(file: Any, inputs: Sequence[int], outputs: Sequence[int], given: Sequence[Any]) -> list[Any]:
    axis, channels_last = given
    options = schema.ConcatenationOptionsT()
    options.axis = CHANNELS_LAST.index(axis) if channels_last else axis
    return [_operator(operator_code(file, Builtin.CONCATENATION), inputs, outputs, options)]


def _total(file: Any, inputs: Sequence[int], outputs: Sequence[int], _: Sequence[Any]) -> list[Any]:
    return [_operator(operator_code(file, Builtin.ADD), inputs, outputs, schema.AddOptionsT())]


def _pad_with(file: Any, inputs: Sequence[int], outputs: Sequence[int], given: Sequence[Any]) -> list[Any]:
    amounts, value, channels_last = given
    source = file.subgraphs[0].tensors[inputs[0]]
    pairs = _numbers(file, paddings(amounts, len(source.shape), channels_last))
    limits = np.iinfo(np.int16)
    integer = _like(file, inputs[0], (1,))
    stored = np.clip(np.round(value / source.quantization.scale), limits.min, limits.max).astype(np.int16)
    file.subgraphs[0].tensors[integer].buffer = flatbuffer_parts.add_buffer(file, stored)
    return [_operator(operator_code(file, Builtin.PADV2), [*inputs, pairs, integer], outputs, schema.PadV2OptionsT())]


def _transpose_conv(file: Any, inputs: Sequence[int], outputs: Sequence[int], given: Sequence[Any]) -> list[Any]:
    """Padding is zero or what TFLite makes of SAME, as `transposed_convolution` sees to."""
    image, weight, bias = inputs
    scales, (vertical, horizontal), padding, _ = given
    options = schema.TransposeConvOptionsT()
    options.strideH, options.strideW = vertical, horizontal
    options.padding = schema.Padding.SAME if any(padding) else schema.Padding.VALID
    tensors = file.subgraphs[0].tensors
    _quantize(file, weight, scales)
    _quantize(file, bias, np.float32(tensors[image].quantization.scale[0]) * np.asarray(scales, np.float32))
    shape = _numbers(file, tensors[outputs[0]].shape)
    return [_operator(operator_code(file, Builtin.TRANSPOSE_CONV, BIAS_SINCE), [shape, weight, image, bias], outputs, options)]


def _quantize(file: Any, index: int, scales: Any, zero_point: int = 0) -> None:
    """Tells what a tensor's integers stand for; several scales are one for each index of the first axis."""
    quantization = file.subgraphs[0].tensors[index].quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.quantizedDimension = np.asarray(scales, np.float32), 0
    quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)


def _numbers(file: Any, numbers: Sequence[Any]) -> int:
    """The index of a new int32 constant."""
    values = np.array(numbers, np.int32)
    return flatbuffer_parts.add_tensor(file, "numbers", values.shape, schema.TensorType.INT32, values)


WRITERS: dict[str, Callable[[Any, Sequence[int], Sequence[int], Sequence[Any]], list[Any]]] = {
    "requantize": _requantize,
    "gelu": _gelu,
    "logarithm": _logarithm,
    "join": _join,
    "total": _total,
    "pad_with": _pad_with,
    "prelu": _prelu,
    "take_channels": _take_channels,
    "take_rows": _take_rows,
    "depth_to_space": _depth_to_space,
    "transpose_conv": _transpose_conv,
}
"""From a file, inputs, outputs and options to TFLite's operators."""
