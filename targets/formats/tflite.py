"""Reads .tflite files: what goes in and out, and the whole graph, checked before anybody relies on it.

Follows TFLite's schema.fbs, version 3. The numbers after `integer`, `vector`, … are the schema's field slots.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from targets.base import Array, Artifact
from targets.base import Tensor as Description
from targets.errors import UserError
from targets.formats import nibbles, tflite_options
from targets.formats.flatbuffer import MalformedError, Table, root

MAXIMUM_RANK = 8
MAXIMUM_OPERANDS = 1024
MAXIMUM_ELEMENTS = 2**31 - 1
DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "FLOAT64": "float64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "bool",
}
"""Types that have a numpy dtype; the others keep the schema's name in lower case (`int4`, `string`)."""


@dataclass(frozen=True, eq=False)
class Quantization:
    """real = (integer - zero_point) * scale. One entry, or one for each index of `axis`. float32 [n] and int64 [n]."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale."""
        return len(self.scale) > 1


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the graph. `data` holds its numbers, read-only and in its shape; None where it is computed.

    Integers of 4 bits (`int4`) are unpacked to int8; of types that aren't numbers, and of sparse tensors, the bytes are given.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: Array | None = None
    variable: bool = False

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator. `name` is the schema's (`CONV_2D`; a custom one `CUSTOM:Name`); inputs and outputs index the tensors, -1 is none.

    `options` is a dataclass of `tflite_options`, None where the operator has none or they aren't read.
    """

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: object | None


@dataclass(frozen=True, eq=False)
class Graph:
    """One graph of a file, the first unless said otherwise, operators in the order they run."""

    path: Path
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(path: Path) -> Artifact:
    """What the file takes and gives. UserError where it can't be read or contradicts itself."""
    data, graph = _load(path)
    return Artifact(
        path=path,
        format="tflite",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        inputs=tuple(describe(graph.tensors[index]) for index in graph.inputs),
        outputs=tuple(describe(graph.tensors[index]) for index in graph.outputs),
    )


def load(path: Path) -> Graph:
    """The whole graph. UserError where the file can't be read or contradicts itself."""
    return _load(path)[1]


def load_all(path: Path) -> tuple[Graph, ...]:
    """Every graph of a file: the one that runs, then those that its loops and branches call. UserError as for `load`."""
    return _open(path, _graphs)[1]


def describe(tensor: Tensor) -> Description:
    """A graph's tensor as an artifact tells of it."""
    quantization = tensor.quantization
    if quantization is None or quantization.per_channel:
        return Description(tensor.name, tensor.shape, tensor.dtype)
    return Description(tensor.name, tensor.shape, tensor.dtype, float(quantization.scale[0]), int(quantization.zero_point[0]))


def _load(path: Path) -> tuple[bytes, Graph]:
    data, (graph, *_) = _open(path, _first)
    return data, graph


def _open(path: Path, parse: Callable[[Path, Table], tuple[Graph, ...]]) -> tuple[bytes, tuple[Graph, ...]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}; give the path of a .tflite file") from None
    try:
        return data, parse(path, root(data, b"TFL3"))
    except MalformedError as error:
        raise UserError(f"{path}: not a valid .tflite file: {error}; export or download it again") from None


def _first(path: Path, model: Table) -> tuple[Graph, ...]:
    return _graphs(path, model, 1)


def _graphs(path: Path, model: Table, most: int | None = None) -> tuple[Graph, ...]:
    subgraphs = model.tables(2)
    if not subgraphs:
        raise MalformedError("it holds no graph")
    buffers = model.tables(4)
    codes = [_operator_name(table) for table in model.tables(1)]
    return tuple(_graph(path, table, buffers, codes) for table in subgraphs[:most])


def _graph(path: Path, subgraph: Table, buffers: list[Table], codes: list[str]) -> Graph:
    tensors = tuple(_tensor(index, table, buffers) for index, table in enumerate(subgraph.tables(0)))
    operators = tuple(_operator(index, table, codes, len(tensors)) for index, table in enumerate(subgraph.tables(3)))
    graph = Graph(path, tensors, operators, _indices(subgraph, 1, len(tensors)), _indices(subgraph, 2, len(tensors)))
    _check_order(graph)
    return graph


def _tensor(index: int, table: Table, buffers: list[Table]) -> Tensor:
    name = table.string(3)
    label = f"tensor {index} ({name[:80]!r})"
    shape = _shape(table, label)
    kind = _type_name(table.integer(1, "b"))
    dtype = DTYPES.get(kind, kind.lower())
    at = table.integer(2, "I")
    if at >= max(len(buffers), 1):
        raise MalformedError(f"{label} is stored in buffer {at} of {len(buffers)}")
    raw = _bytes(buffers[at]) if buffers else None
    sparse = table.table(6) is not None
    return Tensor(
        index,
        name,
        shape,
        dtype,
        _quantization(table.table(4), shape, label),
        None if raw is None else _typed(raw, shape, kind, label, sparse),
        bool(table.integer(5, "?")),
    )


def _shape(table: Table, label: str) -> tuple[int, ...]:
    stored = table.vector(0, "<i4")
    shape = [] if stored is None else [int(size) for size in stored[: MAXIMUM_RANK + 1]]
    signature = table.vector(7, "<i4")
    if len(shape) > MAXIMUM_RANK:
        raise MalformedError(f"{label} has more than {MAXIMUM_RANK} axes")
    if signature is not None and len(signature) == len(shape) > 0 and int(signature[0]) == -1:
        shape[0] = 1  # an open batch is run with one sample
    if any(size < 0 for size in shape) or math.prod(shape) > MAXIMUM_ELEMENTS:
        raise MalformedError(f"{label} has shape {shape}")
    return tuple(shape)


def _bytes(table: Table) -> NDArray[np.uint8] | None:
    stored = table.vector(0, "u1")
    if stored is not None and len(stored):
        return stored.view(np.uint8)
    offset, size = table.integer(1, "Q"), table.integer(2, "Q")
    if offset <= 1:
        return None
    if offset + size > len(table.data):
        raise MalformedError(f"a buffer of {size} bytes at byte {offset} leaves the file (is it cut short?)")
    return np.frombuffer(table.data, np.uint8, size, offset)


def _typed(raw: NDArray[np.uint8], shape: tuple[int, ...], kind: str, label: str, sparse: bool) -> Array:
    if kind == "INT4" and not sparse:
        _require_bytes(raw, nibbles.packed_bytes(math.prod(shape)), shape, kind, label)
        unpacked = nibbles.unpack(raw, shape)
        unpacked.flags.writeable = False
        return unpacked
    if kind not in DTYPES or sparse:
        return raw
    dtype = np.dtype(DTYPES[kind]).newbyteorder("<")
    _require_bytes(raw, math.prod(shape) * dtype.itemsize, shape, kind, label)
    return raw.view(dtype).reshape(shape)


def _require_bytes(raw: NDArray[np.uint8], needed: int, shape: tuple[int, ...], kind: str, label: str) -> None:
    if len(raw) != needed:
        raise MalformedError(f"{label} has {len(raw)} bytes of data, its shape {list(shape)} of {kind.lower()} needs {needed}")


def _quantization(table: Table | None, shape: tuple[int, ...], label: str) -> Quantization | None:
    scale = None if table is None else table.vector(2, "<f4")
    if table is None or scale is None or not len(scale):
        return None
    stored = table.vector(3, "<i8")
    zero_point = np.zeros(len(scale), np.int64) if stored is None or not len(stored) else stored.astype(np.int64)
    axis = table.integer(6)
    if len(zero_point) != len(scale):
        raise MalformedError(f"{label} has {len(scale)} scales but {len(zero_point)} zero points")
    if len(scale) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scale)):
        raise MalformedError(f"{label} has {len(scale)} scales, which don't fit axis {axis} of its shape {list(shape)}")
    return Quantization(scale.astype(np.float32), zero_point, axis)


def _operator_name(table: Table) -> str:
    code = max(table.integer(3), table.integer(0, "b"))
    known = _operator_names()
    if code not in known:
        raise MalformedError(f"operator code {code} is not in the schema")
    return f"CUSTOM:{table.string(1, 80)}" if known[code] == "CUSTOM" else known[code]


def _operator(index: int, table: Table, codes: list[str], tensors: int) -> Operator:
    code = table.integer(0, "I")
    if code >= len(codes):
        raise MalformedError(f"operator {index} has code {code} of {len(codes)}")
    options = tflite_options.decode(table.integer(3, "B"), table.table(4))
    return Operator(index, codes[code], _indices(table, 1, tensors, -1), _indices(table, 2, tensors), options)


def _indices(table: Table, slot: int, tensors: int, lowest: int = 0) -> tuple[int, ...]:
    stored = table.vector(slot, "<i4")
    indices = () if stored is None else tuple(int(index) for index in stored[: MAXIMUM_OPERANDS + 1])
    if len(indices) > MAXIMUM_OPERANDS:
        raise MalformedError(f"an operator has more than {MAXIMUM_OPERANDS} inputs or outputs")
    if not all(lowest <= index < tensors for index in indices):
        raise MalformedError(f"an operator or the graph names a tensor that isn't among its {tensors}")
    return indices


def _check_order(graph: Graph) -> None:
    """Every tensor that is used has one origin, and comes from it before it is used."""
    ready = {tensor.index for tensor in graph.tensors if tensor.data is not None or tensor.variable}
    for index in graph.inputs:
        if index in ready:
            raise MalformedError(f"tensor {index} is twice an input, or an input with constant data")
        ready.add(index)
    for operator in graph.operators:
        for index in operator.inputs:
            if index >= 0 and index not in ready and graph.tensors[index].elements:
                raise MalformedError(f"operator {operator.index} ({operator.name}) uses tensor {index} before anything computes it")
        for index in operator.outputs:
            if index in ready:
                raise MalformedError(f"operator {operator.index} ({operator.name}) computes tensor {index}, which has its value already")
            ready.add(index)
    for index in graph.outputs:
        if index not in ready:
            raise MalformedError(f"nothing computes output tensor {index}")


@cache
def _operator_names() -> dict[int, str]:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {code: name for name, code in vars(BuiltinOperator).items() if isinstance(code, int)}


def _type_name(number: int) -> str:
    from ai_edge_litert.schema_py_generated import TensorType

    for name, code in vars(TensorType).items():
        if code == number:
            return str(name)
    raise MalformedError(f"tensor type {number} is not in the schema")
