"""Reads what goes into and comes out of an `.onnx` file (ONNX IR, https://onnx.ai/onnx/repo-docs/IR.html)."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from targets.base import Array, Artifact, Tensor
from targets.errors import UserError
from targets.formats import sha256
from targets.registry import first_line

PERMUTATION_KEY = "edgepress.permutation"
"""Metadata key under which an exporter notes `Tensor.permutation`: a JSON object, a tensor's name to its axes."""


PLAIN = {"int2": "int8", "int4": "int8", "uint2": "uint8", "uint4": "uint8", "bfloat16": "float32"}
"""Types that numpy doesn't have, and those of its own that hold all their numbers."""


def read(path: Path) -> Artifact:
    """The artifact in an ONNX file and the external data files that it names (`details["external_files"]`, beside it).

    A first axis that is free is read as 1 (one sample). Integer inputs and outputs have the scale and zero point of the
    DequantizeLinear that reads them and the QuantizeLinear that writes them. Raises UserError for a file that is damaged or no
    ONNX file, for external data that is missing, and for an axis other than the first that is left free.
    """
    model = _parsed(path)
    external = _external_files(path, model)
    try:
        return _described(path, model, external)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def open_inputs(path: Path) -> list[tuple[str, tuple[int | None, ...], str, tuple[int, ...] | None]]:
    """Of each input its name, its shape for one sample with None for sizes that the file leaves open, its type and `Tensor.permutation`.

    Raises UserError as `read` does, but for what is left open.
    """
    model = _parsed(path)
    try:
        permutations = _permutations(model)
        return [(value.name, _open_shape(value), element_type(value).name, permutations.get(value.name)) for value in _inputs(model)]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _open_shape(value: Any) -> tuple[int | None, ...]:
    sizes = [axis.dim_value or None for axis in value.type.tensor_type.shape.dim]
    _check_sizes(value, sizes)
    return (1 if sizes[0] is None else sizes[0], *sizes[1:]) if sizes else ()


def _check_sizes(value: Any, sizes: Sequence[int | None]) -> None:
    if any(size is not None and size < 1 for size in sizes):
        shape = [size or "?" for size in sizes]
        raise UserError(f"'{value.name}' has the impossible shape {shape}; the file is damaged, export or download it again")


def _inputs(model: Any) -> list[Any]:
    given = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in given]


def is_onnx(path: Path) -> bool:
    """Whether a file starts as ONNX files do: with its first field, a version of the format."""
    with path.open("rb") as file:
        start = file.read(2)
    return len(start) == 2 and start[0] == 0x08 and 3 <= start[1] <= 20


def external_files(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold its weights. UserError as for `read`."""
    return _external_files(path, _parsed(path))


def load(path: Path) -> Any:
    """The file's `ModelProto` with its external data in it. UserError as for `read`, and where its external data can't be read."""
    import onnx

    model = _parsed(path)
    _external_files(path, model)
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, ValueError, OSError, MemoryError) as error:
        raise UserError(f"{path}: its external data can't be read: {first_line(error)}; copy it anew, as files rather than links") from None
    return model


def output_step(path: Path, name: str) -> float | None:
    """The scale of the DequantizeLinear that an output comes from, where it is one number; None where it comes from something else."""
    graph = _parsed(path).graph
    maker = next((node for node in graph.node if name in node.output), None)
    constants = _constants(graph)
    if maker is None or maker.op_type != "DequantizeLinear" or maker.input[1] not in constants:
        return None
    return float(constants[maker.input[1]].item())


def numbers(tensor: Any) -> Array:
    """A `TensorProto`'s numbers. UserError, without the file's name, where they don't fit shape and type. Those of `PLAIN` are widened."""
    from onnx import TensorProto, numpy_helper

    if min(tensor.dims, default=0) >= 0 and tensor.data_type in TensorProto.DataType.values():
        try:
            stored: Array = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, OverflowError, MemoryError):
            pass
        else:
            if stored.dtype.name in PLAIN:
                return stored.astype(PLAIN[stored.dtype.name])
            if stored.dtype.kind in "biuf" and stored.dtype.isbuiltin == 1:
                return stored
    raise UserError(
        f"tensor '{tensor.name}' has no numbers of shape {list(tensor.dims)} and type {tensor.data_type}; the file is damaged, "
        "export or download it again"
    )


def _described(path: Path, model: Any, external: list[Path]) -> Artifact:
    graph = model.graph
    constants = _constants(graph)
    permutations = _permutations(model)
    read_by = {node.input[0]: node for node in graph.node if node.op_type == "DequantizeLinear" and len(node.input) > 1}
    written_by = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear" and node.output and len(node.input) > 1}
    files = [path, *external]
    return Artifact(
        path=path,
        format="onnx",
        sha256=sha256(files),
        bytes=sum(file.stat().st_size for file in files),
        inputs=tuple(_tensor(value, read_by.get(value.name), constants, permutations) for value in _inputs(model)),
        outputs=tuple(_tensor(value, written_by.get(value.name), constants, permutations) for value in _outputs(model)),
        details={
            "external_files": [file.name for file in external],
            "quantized_operators": sum(node.op_type == "QuantizeLinear" for node in graph.node),
        },
    )


def _parsed(path: Path) -> Any:
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except Exception:  # noqa: BLE001  protobuf's own errors for what it can't parse are classes of its implementation
        raise UserError(f"{path}: not a .tflite or .onnx file, or a damaged one; export or download it again") from None
    if not (model.graph.node and model.opset_import):
        raise UserError(f"{path}: not a .tflite or .onnx file, or a damaged one; export or download it again")
    return model


def _external_files(path: Path, model: Any) -> list[Path]:
    names = {entry.value for tensor in _tensors(model.graph) for entry in tensor.external_data if entry.key == "location"}
    for name in sorted(names):
        if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{path}: its weights are in '{name}', outside of its folder; only files beside it are read")
        if not _there(path.parent / name):
            raise UserError(f"{path}: its weights are in {name}, which is not beside it; copy both files together")
    return [path.parent / name for name in sorted(names)]


def _there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name that is longer than any may be
        return False


def _tensors(graph: Any) -> Iterator[Any]:
    """Everywhere a file may have numbers: initializers, attributes, and those of inner graphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner) if inner.node else ()


def _constants(graph: Any) -> dict[str, Any]:
    stored = [tensor for tensor in graph.initializer if not tensor.external_data and math.prod(tensor.dims) == 1]
    constants = {tensor.name: numbers(tensor) for tensor in stored}
    for node in graph.node:
        if node.op_type == "Constant" and node.output and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = numbers(node.attribute[0].t)
    return constants


def _permutations(model: Any) -> dict[str, tuple[int, ...]]:
    noted = {entry.key: entry.value for entry in model.metadata_props}.get(PERMUTATION_KEY, "{}")
    try:
        axes = {name: tuple(order) for name, order in json.loads(noted).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        axes = {"": ()}
    if any(set(order) != set(range(len(order))) or not order for order in axes.values()):
        raise UserError(f"its metadata '{PERMUTATION_KEY}' is no orders of axes; export the file again")
    return axes


def _outputs(model: Any) -> Any:
    """The graph's outputs, with the shapes that follow from the inputs where the file leaves them open."""
    import onnx

    if all(_fixed(value) for value in model.graph.output):
        return model.graph.output
    for value in model.graph.input:
        axes = value.type.tensor_type.shape.dim
        if axes and not axes[0].dim_value:
            axes[0].dim_value = 1
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise UserError(
            f"the shapes of its outputs don't follow from its inputs: {first_line(error)}; check it with onnx.checker"
        ) from None


def _fixed(value: Any) -> bool:
    shape = value.type.tensor_type
    return bool(shape.HasField("shape")) and all(axis.dim_value for axis in shape.shape.dim[1:])


def _tensor(value: Any, pair: Any, constants: dict[str, Any], permutations: dict[str, tuple[int, ...]]) -> Tensor:
    if not _fixed(value):
        raise UserError(f"'{value.name}' has a shape that is not fixed beyond its first axis; export it with fixed sizes")
    shape = tuple(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)
    _check_sizes(value, shape)
    dtype = element_type(value)
    scale, zero_point = None, None
    if dtype.kind in "iu" and pair is not None and pair.input[1] in constants:
        scale = float(constants[pair.input[1]].item())
        zero_point = int(constants[pair.input[2]].item()) if len(pair.input) > 2 and pair.input[2] in constants else 0
    return Tensor(value.name, shape, dtype.name, scale, zero_point, permutations.get(value.name))


def element_type(value: Any) -> np.dtype[Any]:
    """The type of an input's or output's numbers. UserError, without the file's name, where they are no numbers."""
    from onnx import helper

    try:
        kind: np.dtype[Any] = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    except KeyError:
        raise UserError(f"'{value.name}' holds no numbers; only networks of tensors can be read") from None
    return kind
