"""Integer weights of float operators in a TFLite file: read by hybrid kernels as they are, or through DEQUANTIZE."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from compress.lowering.flatbuffer_parts import add_buffer, add_tensor, drop_unread, name_of, operator, readers
from compress.lowering.stored_weights import Stored
from targets.errors import ExportError
from targets.formats import nibbles

Builtin, Type = schema.BuiltinOperator, schema.TensorType
LAYOUTS = {2: ((0, 1),), 4: ((0, 2, 3, 1), (1, 2, 3, 0))}
"""The orders in which TFLite has weights of two and of four axes: OHWI; then 1HWO of depthwise, or OHWI of transposed convolutions."""
HYBRID_VERSIONS = {Builtin.CONV_2D: 5, Builtin.DEPTHWISE_CONV_2D: 6, Builtin.FULLY_CONNECTED: 12, Builtin.TRANSPOSE_CONV: 2}
"""The operators that take float activations and int8 weights with a scale for each channel, with the first versions that do."""
DEQUANTIZE_VERSION = 6
"""The first that reads int4; 5 is the first with a scale for each channel."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Weights in the layout of the file; `axis` is that of channels."""

    stored: Stored
    real: NDArray[np.float32]
    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int

    @property
    def key(self) -> tuple[tuple[int, ...], bytes]:
        """What the converter makes of them."""
        return self.real.shape, self.real.tobytes()


def store(file: Any, weights: Sequence[Stored]) -> list[int]:
    """Stores, in place, weights that the converter wrote as float32 as the int8 constants that they stand for.

    Weights with a scale for each block are read as real numbers at once, since nobody may reorder them. The others are given back, by
    the numbers of their tensors, for `read_channels`, but for those of hybrid kernels.

    Raises ExportError naming a layer whose weights the converter changed or gave to an operator without such a kernel.
    """
    found = dict(_found(file, weights))
    replaced = [file.subgraphs[0].tensors[index].buffer for index in found]
    for index, placed in found.items():
        if placed.stored.in_blocks:
            _read_blocks(file, index, placed)
        else:
            tensor = file.subgraphs[0].tensors[index]
            tensor.type, tensor.buffer = Type.INT8, add_buffer(file, placed.integers)
            tensor.quantization = _quantization(placed.scales, placed.axis)
        if placed.stored.dynamic:
            _use_hybrid(file, index, placed.stored.layer)
    drop_unread(file, replaced)
    return [index for index, placed in found.items() if not placed.stored.in_blocks and not placed.stored.dynamic]


def read_channels(file: Any, tensors: Sequence[int]) -> None:
    """Reads integer weights with a scale for each channel through DEQUANTIZE, in place."""
    graph = file.subgraphs[0]
    for index in tensors:
        real = add_tensor(file, f"{name_of(file, index)}_real", graph.tensors[index].shape, Type.FLOAT32)
        for reader in readers(file, index):
            reader.inputs = [real if value == index else value for value in reader.inputs]
        graph.operators = [operator(file, Builtin.DEQUANTIZE, [index], real, DEQUANTIZE_VERSION), *graph.operators]


def _found(file: Any, weights: Sequence[Stored]) -> Iterator[tuple[int, Placed]]:
    """The tensors that hold these weights: the converter gives them names of its own, but leaves their values as they are."""
    wanted: dict[tuple[tuple[int, ...], bytes], Placed] = {}
    for placed in (placed for one in weights for placed in _layouts(one)):
        wanted.setdefault(placed.key, placed)
    met = set()
    for index, tensor in enumerate(list(file.subgraphs[0].tensors)):
        data = file.buffers[tensor.buffer].data
        if tensor.type == Type.FLOAT32 and data is not None and tensor.shape is not None:
            key = tuple(map(int, tensor.shape)), np.asarray(data, np.uint8).tobytes()
            if key in wanted:
                met.add(key)
                yield index, wanted[key]
    for one in weights:
        if met.isdisjoint(placed.key for placed in _layouts(one)):
            raise ExportError(
                f"layer '{one.layer}': TFLite's converter changes its weights; leave it in float with 'overrides' of quantize"
            )


def _layouts(stored: Stored) -> Iterator[Placed]:
    flat = stored.integers.dim() == 3  # a 1-D convolution becomes one of images one pixel high
    integers, real = (values.unsqueeze(2) if flat else values for values in (stored.integers, stored.real))
    for order in LAYOUTS[integers.dim()]:
        scales = stored.scales
        if stored.in_blocks:
            scales = (scales.unsqueeze(2) if flat else scales).permute(order)
        numbers, whole = (values.permute(order).contiguous().numpy() for values in (real, integers))
        if not stored.in_blocks or order[-1] == stored.axis:
            yield Placed(stored, numbers, whole, scales.contiguous().numpy(), order.index(stored.axis))


def _use_hybrid(file: Any, index: int, layer: str) -> None:
    for reader in readers(file, index):
        code = file.operatorCodes[reader.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in HYBRID_VERSIONS or list(reader.inputs).index(index) != 1:
            raise ExportError(f"layer '{layer}': TFLite has no hybrid kernel for it; leave it in float with 'overrides' of quantize")
        code.version = max(code.version, HYBRID_VERSIONS[kind])
        if kind == Builtin.FULLY_CONNECTED:
            reader.builtinOptions.asymmetricQuantizeInputs = True


def _read_blocks(file: Any, index: int, placed: Placed) -> None:
    """Rows of one block each, times a column of scales, in the weights' shape again.

    LiteRT 2.3 reads blocks of its own kind (`BlockwiseQuantization`) right in one kernel only, whose activations are integers.
    """
    graph, name = file.subgraphs[0], name_of(file, index)
    tensor = graph.tensors[index]
    tensor.buffer = 0
    rows = (placed.scales.size, placed.integers.size // placed.scales.size)
    stored = (nibbles.pack(placed.integers), Type.INT4) if placed.stored.bits == 4 else (placed.integers, Type.INT8)
    integers = add_tensor(file, f"{name}_integers", rows, stored[1], stored[0])
    graph.tensors[integers].quantization = _quantization(np.ones(1, np.float32), 0)
    scales = add_tensor(file, f"{name}_scales", (rows[0], 1), Type.FLOAT32, placed.scales)
    shape = add_tensor(file, f"{name}_shape", (len(tensor.shape),), Type.INT32, np.asarray(tensor.shape, np.int32))
    real, scaled = (add_tensor(file, f"{name}_{step}", rows, Type.FLOAT32) for step in ("real", "scaled"))
    multiply = operator(file, Builtin.MUL, [real, scales], scaled)
    multiply.builtinOptionsType, multiply.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    read = operator(file, Builtin.DEQUANTIZE, [integers], real, DEQUANTIZE_VERSION)
    graph.operators = [read, multiply, operator(file, Builtin.RESHAPE, [scaled, shape], index), *graph.operators]


def _quantization(scales: NDArray[np.float32], axis: int) -> Any:
    made = schema.QuantizationParametersT()
    made.scale, made.zeroPoint, made.quantizedDimension = scales.tolist(), [0] * len(scales), axis
    return made
