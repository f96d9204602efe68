"""Reads what goes into and comes out of an `.onnx` file (ONNX IR, https://onnx.ai/onnx/repo-docs/IR.html)."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from targets.base import Artifact, Tensor
from targets.errors import UserError
from targets.formats import sha256

PERMUTATION_KEY = "edgepress.permutation"
"""Metadata key under which an exporter notes `Tensor.permutation`: a JSON object, a tensor's name to its axes."""


def read(path: Path) -> Artifact:
    """The artifact in an ONNX file and the external data files that it names (`details["external_files"]`, beside it).

    A first axis that is free is read as 1 (one sample). Integer inputs and outputs have the scale and zero point of the
    DequantizeLinear that reads them and the QuantizeLinear that writes them. Raises UserError for a file that is damaged or no
    ONNX file, for external data that is missing, and for an axis other than the first that is left free.
    """
    model = _load(path)
    external = _external_files(path, model)
    graph = model.graph
    constants = _constants(graph)
    permutations = _permutations(model)
    given = {tensor.name for tensor in graph.initializer}
    read_by = {node.input[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    written_by = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    inputs = [value for value in graph.input if value.name not in given]
    files = [path, *external]
    return Artifact(
        path=path,
        format="onnx",
        sha256=sha256(files),
        bytes=sum(file.stat().st_size for file in files),
        inputs=tuple(_tensor(path, value, read_by.get(value.name), constants, permutations) for value in inputs),
        outputs=tuple(_tensor(path, value, written_by.get(value.name), constants, permutations) for value in _outputs(model)),
        details={
            "external_files": [file.name for file in external],
            "quantized_operators": sum(node.op_type == "QuantizeLinear" for node in graph.node),
        },
    )


def _load(path: Path) -> Any:
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except Exception:  # noqa: BLE001  protobuf's own errors for what it can't parse are classes of its implementation
        raise UserError(f"{path}: not a .tflite or .onnx file, or a damaged one") from None
    if not (model.graph.node and model.opset_import):
        raise UserError(f"{path}: not a .tflite or .onnx file, or a damaged one")
    return model


def _external_files(path: Path, model: Any) -> list[Path]:
    names = {entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"}
    files = [path.parent / name for name in sorted(names)]
    for file in files:
        if not file.is_file():
            raise UserError(f"{path}: its weights are in {file.name}, which is not beside it; copy both files together")
    return files


def _constants(graph: Any) -> dict[str, Any]:
    from onnx import numpy_helper

    scalars = [tensor for tensor in graph.initializer if not tensor.external_data]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in scalars if np.prod(tensor.dims) == 1}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return constants


def _permutations(model: Any) -> dict[str, tuple[int, ...]]:
    noted = {entry.key: entry.value for entry in model.metadata_props}
    return {name: tuple(axes) for name, axes in json.loads(noted.get(PERMUTATION_KEY, "{}")).items()}


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
    return onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output


def _fixed(value: Any) -> bool:
    shape = value.type.tensor_type
    return bool(shape.HasField("shape")) and all(axis.dim_value for axis in shape.shape.dim[1:])


def _tensor(path: Path, value: Any, pair: Any, constants: dict[str, Any], permutations: dict[str, tuple[int, ...]]) -> Tensor:
    import onnx

    if not _fixed(value):
        raise UserError(f"{path}: '{value.name}' has a shape that is not fixed beyond its first axis; export it with fixed sizes")
    shape = tuple(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    scale, zero_point = None, None
    if dtype.kind in "iu" and pair is not None and pair.input[1] in constants:
        scale = float(constants[pair.input[1]].item())
        zero_point = int(constants[pair.input[2]].item()) if len(pair.input) > 2 else 0
    return Tensor(value.name, shape, dtype.name, scale, zero_point, permutations.get(value.name))
